// A finished run as a classifier: loaded from its folder or from a URL, in Node or in a page.

import { DataError, messageOf, UsageError } from "../core/error.ts";
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
import { type Classifier, create } from "../models/index.ts";
import { init } from "../nn/index.ts";
import { type Compiled, compile } from "../tensor/compile.ts";
import { noGrad } from "../tensor/functions.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { read, type Weights } from "../weights/index.ts";
import { replaceHead } from "./head.ts";
import { probabilities } from "./metrics.ts";
import { parseRunInfo, type RunInfo } from "./run_info.ts";

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

export class RunClassifier {
  readonly info: RunInfo;
  readonly model: Classifier;
  readonly #logits: Compiled<[Tensor], Tensor>;

  constructor(info: RunInfo, weights: Weights, source: string) {
    this.info = info;
    this.model = init.skipInit(() => {
      const model = create(info.model.name);
      replaceHead(model, info.model.head, info.classes.length);
      return model;
    });
    this.model.loadStateDict(weights, { source });
    this.model.eval();
    this.#logits = compile((x: Tensor) =>
      noGrad(() => this.model.forward(normalizePictures(x, info.preprocessing))),
    );
  }

  get classes(): readonly string[] {
    return this.info.classes;
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
      out.push(...(await prepare(pictures, this.info.preprocessing)));
    }
    return out;
  }

  async #classify(pictures: readonly Uint8Array[]): Promise<Prediction[]> {
    const { preprocessing, classes } = this.info;
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

/**
 * Loads a run from its folder, or from the URL of one (`https://…/run`), which must serve run.json and
 * model.safetensors; a query (`https://…/run?token=…`) goes to both. Throws DataError when either is missing or broken.
 */
export async function loadRun(pathOrUrl: string | URL): Promise<RunClassifier> {
  const at = String(pathOrUrl);
  if (at.trim() === "") throw new UsageError("the run is an empty text: expected its folder or URL");
  if (/^https?:/.test(at) || typeof process !== "object" || !process.versions?.node) return fetchRun(at);
  const { fileURLToPath } = await import("node:url");
  const { RunFolder } = await import("./run_folder.node.ts");
  const folder = new RunFolder(at.startsWith("file:") ? fileURLToPath(at) : at);
  const info = await folder.readInfo();
  return new RunClassifier(info, await folder.readModel(), `${folder.path}/model.safetensors`);
}

/** The URL of a file in the folder at `url`; what follows `?` stays behind it. A page's may be relative. */
export function fileUrl(url: string, name: string): string {
  const [, path, query = ""] = /^([^?#]*)(\?[^#]*)?/.exec(url) as RegExpExecArray;
  return `${path.replace(/\/+$/, "")}/${name}${query}`;
}

async function fetchRun(url: string): Promise<RunClassifier> {
  const get = async (name: string): Promise<Response> => {
    const at = fileUrl(url, name);
    const answer = await fetch(at).catch((error) => {
      throw new DataError(`${at} could not be fetched: ${messageOf(error)}`);
    });
    if (!answer.ok) throw new DataError(`${at} could not be fetched: ${answer.status} ${answer.statusText}`);
    return answer;
  };
  const info = parseRunInfo(await (await get("run.json")).text(), fileUrl(url, "run.json"));
  const bytes = new Uint8Array(await (await get("model.safetensors")).arrayBuffer());
  const name = fileUrl(url, "model.safetensors");
  return new RunClassifier(info, await read(bytes, { name }), name);
}
