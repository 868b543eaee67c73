// Drawn pictures as files: DIR/train/CLASS/000.png and DIR/test/CLASS/000.png, the form in which people bring their own.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ThawError } from "../../src/index.ts";
import { drawPicture } from "./draw.ts";
import { classesOf, type Family } from "./fields.ts";

export interface FolderOptions {
  readonly family: Family;
  readonly seed: number;
  /** Pictures of each class. */
  readonly train: number;
  readonly test: number;
  /** Side in pixels. */
  readonly size: number;
}

/** Draws a data set into `dir`, over what was drawn there before; returns the number of pictures. */
export async function drawFolder(dir: string, options: FolderOptions): Promise<number> {
  const { family, seed, size } = options;
  const { default: sharp } = await import("sharp").catch(() => {
    throw new ThawError("writing pictures needs the package sharp, which did not load: npm install sharp");
  });
  let count = 0;
  for (const className of classesOf(family)) {
    for (const [part, n, first] of [
      ["train", options.train, 0],
      ["test", options.test, options.train],
    ] as const) {
      const folder = join(dir, part, className);
      await mkdir(folder, { recursive: true });
      for (let i = 0; i < n; i++) {
        const { data, width, height } = drawPicture({ family, className, number: first + i, seed, size });
        const png = await sharp(data, { raw: { width, height, channels: 3 } })
          .png()
          .toBuffer();
        await writeFile(join(folder, `${String(i).padStart(3, "0")}.png`), png);
        count++;
      }
    }
  }
  return count;
}
