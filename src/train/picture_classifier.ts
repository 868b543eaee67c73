// A trained classifier of pictures: what any picture file is prepared to, the network, the names of its classes. It comes
// from a run's folder (run.ts) or from a file of another program's (teachable.ts), in Node or in a page.

import { UsageError } from "../core/error.ts";
import {
  checkPicture,
  type Drawable,
  decode,
  drawn,
  isDrawable,
  normalizePictures,
  type Picture,
  prepare,
  rgbFrom,
  stackPictures,
} from "../data/index.ts";
import type { Classifier, Preprocessing } from "../models/index.ts";
import { type Compiled, compile } from "../tensor/compile.ts";
import { noGrad } from "../tensor/functions.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { probabilities } from "./metrics.ts";

/** RGBA pixels as a canvas gives them. */
interface Pixels {
  readonly data: Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

/**
 * What `predict` takes: a picture file's bytes or the Blob of one, decoded RGB pixels, ImageData; in Node also a file's
 * path; in a page also an <img>, a canvas or an ImageBitmap.
 */
export type ImageInput = string | Uint8Array | Blob | Picture | Pixels | Drawable;

export interface ClassProbability {
  readonly class: string;
  readonly p: number;
}

export interface Prediction extends ClassProbability {
  /** All classes, the likeliest first. */
  readonly top: readonly ClassProbability[];
}

/** Pictures classified at once. */
const BATCH = 16;

/** Pictures decoded at once, the threads of libuv's pool. */
const OPEN = 4;

/** What a PictureClassifier is made of. */
export interface ClassifierParts {
  /** A network that gives a logit for each class. */
  readonly model: Classifier;
  readonly classes: readonly string[];
  readonly preprocessing: Preprocessing;
}

export class PictureClassifier {
  readonly model: Classifier;
  readonly classes: readonly string[];
  readonly preprocessing: Preprocessing;
  readonly #logits: Compiled<[Tensor], Tensor>;

  /** Puts the network in eval mode. */
  constructor({ model, classes, preprocessing }: ClassifierParts) {
    this.model = model.eval();
    this.classes = classes;
    this.preprocessing = preprocessing;
    this.#logits = compile((x: Tensor) =>
      noGrad(() => this.model.forward(normalizePictures(x, preprocessing))),
    );
  }

  /** The likeliest class of a picture and all classes' probabilities. Throws DataError for one that cannot be read. */
  async predict(image: ImageInput): Promise<Prediction> {
    return (await this.predictAll([image]))[0];
  }

  /** The same for several pictures. */
  async predictAll(images: readonly ImageInput[]): Promise<Prediction[]> {
    const out: Prediction[] = [];
    for (let at = 0; at < images.length; at += BATCH) {
      out.push(...(await this.#classify(await this.#prepared(images.slice(at, at + BATCH)))));
    }
    return out;
  }

  /** Opens a few at a time and makes them small at once: a batch of large photographs would fill the memory. */
  async #prepared(images: readonly ImageInput[]): Promise<Uint8Array[]> {
    const out: Uint8Array[] = [];
    for (let at = 0; at < images.length; at += OPEN) {
      const pictures = await Promise.all(images.slice(at, at + OPEN).map(pictureOf));
      out.push(...(await prepare(pictures, this.preprocessing)));
    }
    return out;
  }

  async #classify(pictures: readonly Uint8Array[]): Promise<Prediction[]> {
    const { preprocessing, classes } = this;
    const x = stackPictures(pictures, preprocessing.crop);
    const logits = (await this.#logits(x).data()) as Float32Array;
    const p = probabilities(logits, classes.length);
    return pictures.map((_, row) => {
      const own = p.subarray(row * classes.length, (row + 1) * classes.length);
      const top = classes.map((name, c) => ({ class: name, p: own[c] })).sort((a, b) => b.p - a.p);
      return { ...top[0], top };
    });
  }
}

async function pictureOf(image: ImageInput): Promise<Picture> {
  const name = typeof image === "string" ? image : "the picture";
  const picture = await opened(image);
  checkPicture(picture, name);
  return picture;
}

async function opened(image: ImageInput): Promise<Picture> {
  if (typeof image === "string" || image instanceof Uint8Array || image instanceof Blob) return decode(image);
  if (isDrawable(image)) return drawn(image);
  const { data, width, height } = (image ?? {}) as Partial<Pixels>;
  const clamped = data instanceof Uint8ClampedArray;
  if (!clamped && !((data as unknown) instanceof Uint8Array))
    throw new UsageError(
      "predict: expected a path, a file's bytes or Blob, RGB pixels, ImageData, or in a page an <img>, a canvas or an ImageBitmap",
    );
  return rgbFrom(data as Pixels["data"], height as number, width as number, clamped ? 4 : 3);
}
