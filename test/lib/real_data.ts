// Real weights and pictures outside of the repository: ../shared/data, or where THAW_DATA points. Golden outputs there
// are NumPy files, inputs pictures of the size that the network takes.
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { data, type Tensor, tensor } from "../../src/index.ts";

const root = process.env.THAW_DATA ?? resolve(fileURLToPath(import.meta.url), "../../../../shared/data");

/** A file or folder of the real data. */
export const realPath = (...parts: readonly string[]): string => join(root, ...parts);

/** Whether it is on this machine: tests skip without. */
export const isHere = (...parts: readonly string[]): boolean => existsSync(realPath(...parts));

/** A .npy file of little-endian float32 in C order. */
export function readNpy(path: string): { shape: number[]; data: Float32Array } {
  const bytes = readFileSync(path);
  const length = bytes.readUInt16LE(8);
  const header = bytes.toString("latin1", 10, 10 + length);
  const shape = /'shape': \(([\d, ]*)\)/.exec(header)?.[1];
  if (!header.includes("'<f4'") || !header.includes("'fortran_order': False") || shape === undefined)
    throw new Error(`${path}: not float32 in C order: ${header}`);
  return {
    shape: shape
      .split(",")
      .filter((s) => s.trim() !== "")
      .map(Number),
    data: new Float32Array(
      bytes.buffer.slice(bytes.byteOffset + 10 + length, bytes.byteOffset + bytes.length),
    ),
  };
}

/** Pictures as they are, RGB from 0 to 1, less `mean`, by `std`: [N, 3, H, W]. All must be of one size. */
export async function pictures(
  paths: readonly string[],
  mean: readonly number[] = [0, 0, 0],
  std: readonly number[] = [1, 1, 1],
): Promise<Tensor> {
  const list = await Promise.all(paths.map((p) => data.decode(p)));
  const [{ height, width }] = list;
  const plane = height * width;
  const out = new Float32Array(list.length * 3 * plane);
  list.forEach((picture, n) => {
    for (let i = 0; i < plane; i++)
      for (let c = 0; c < 3; c++)
        out[(n * 3 + c) * plane + i] = (picture.data[3 * i + c] / 255 - mean[c]) / std[c];
  });
  return tensor(out, [list.length, 3, height, width]);
}

/** The largest difference, as a share of the largest |expected|. */
export function offBy(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (got.length !== expected.length) throw new Error(`${got.length} numbers for ${expected.length}`);
  let most = 0;
  let off = 0;
  for (let i = 0; i < got.length; i++) {
    most = Math.max(most, Math.abs(expected[i]));
    off = Math.max(off, Math.abs(got[i] - expected[i]));
  }
  return off / most;
}
