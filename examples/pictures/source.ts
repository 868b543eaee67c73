// Batches of pictures drawn as they are needed: every epoch has new ones, so that what is pretrained on them learns the
// classes and not the pictures.

import { Generator } from "../../src/core/random.ts";
import { normalizePictures, type PrepareSpec, stackPictures } from "../../src/data/index.ts";
import type { BatchSource } from "../../src/train/index.ts";
import { drawPicture } from "./draw.ts";
import { classesOf, type Family } from "./fields.ts";

export interface DrawnOptions {
  readonly family: Family;
  readonly seed: number;
  /** Pictures of each class in an epoch. */
  readonly perClass: number;
  readonly batchSize: number;
  /** Pictures are drawn in the size that the network takes. */
  readonly spec: PrepareSpec;
  /** Number of the first picture; epoch e begins at first + e · perClass. */
  readonly first: number;
}

export function drawnSource({ family, seed, perClass, batchSize, spec, first }: DrawnOptions): BatchSource {
  const classes = classesOf(family);
  const length = classes.length * perClass;
  return {
    length,
    steps: Math.ceil(length / batchSize),
    async *epoch(epoch, start = 0) {
      const order = new Generator(seed, epoch).shuffle(Array.from({ length }, (_, i) => i));
      for (let at = start; at < length; at += batchSize) {
        const chosen = order.slice(at, at + batchSize);
        const pictures = chosen.map((i) => {
          const number = first + epoch * perClass + Math.floor(i / classes.length);
          return drawPicture({
            family,
            className: classes[i % classes.length],
            number,
            seed,
            size: spec.crop,
          });
        });
        const x = stackPictures(
          pictures.map((p) => p.data),
          spec.crop,
        );
        yield {
          x,
          labels: Int32Array.from(chosen, (i) => i % classes.length),
          next: Math.min(length, at + batchSize),
        };
      }
    },
    toInput: (x) => normalizePictures(x, spec),
  };
}
