// What Keras' family of files says of the network beside its arrays: its layers as JSON, the labels of its classes, how
// pictures are prepared. Plain data; what it means for an architecture is decided in src/models.

import { isObject, type Json } from "./json.ts";

/** How a picture becomes an input: a network's, or what published weights reached their accuracy with. */
export interface Preprocessing {
  /** Short side after resizing, then the side of the centre crop. */
  readonly resize: number;
  readonly crop: number;
  readonly interpolation: "bilinear" | "bicubic";
  /** Of red, green, blue in [0, 1], whatever the order of the input's channels. */
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
  /** Order of the input's channels: "bgr" of networks that came from Caffe. Default "rgb". */
  readonly order?: "rgb" | "bgr";
}

/** The network that a file's arrays belong to, as the file tells it. */
export interface FileModel {
  /** Keras' description of the network, {class_name, config}; null in a file of weights alone. */
  readonly config: Json | null;
  /** As the file has it: "2.2.4", "tfjs-layers 1.7.4"; null where it says nothing. */
  readonly kerasVersion: string | null;
  /** Classes in the order of the outputs; null where the file names none. */
  readonly labels: readonly string[] | null;
  /** Known for Teachable Machine's image projects only; null elsewhere, for Keras' files do not say. */
  readonly preprocessing: Preprocessing | null;
}

/** Config and version out of what TensorFlow.js calls modelTopology, which has them at one of two levels. */
export function topologyOf(topology: unknown): Pick<FileModel, "config" | "kerasVersion"> {
  if (!isObject(topology)) return { config: null, kerasVersion: null };
  const version = topology["keras_version"];
  const inner = topology["model_config"] ?? topology["config"];
  const isInner = isObject(topology["model_config"]);
  const config = isInner ? (inner as Json) : typeof topology["class_name"] === "string" ? topology : null;
  return { config, kerasVersion: typeof version === "string" ? version : null };
}

/** The side of the square pictures that a Keras network takes: the first input shape that its JSON has. */
export function inputSide(config: unknown, depth = 0): number | null {
  if (depth > 8 || !isObject(config)) return null;
  const inner = isObject(config["config"]) ? config["config"] : config;
  const shape = inner["batch_input_shape"] ?? inner["batch_shape"];
  if (Array.isArray(shape) && shape.length === 4 && shape[1] === shape[2] && Number.isSafeInteger(shape[1])) {
    return shape[1] as number;
  }
  const layers = inner["layers"];
  if (!Array.isArray(layers)) return null;
  for (const layer of layers) {
    const side = inputSide(layer, depth + 1);
    if (side !== null) return side;
  }
  return null;
}

/** Teachable Machine: the middle square of a picture, scaled to `side`, RGB / 127.5 − 1 (its image library, util.ts). */
export function teachablePreprocessing(side: number): Preprocessing {
  return {
    resize: side,
    crop: side,
    interpolation: "bilinear",
    mean: [0.5, 0.5, 0.5],
    std: [0.5, 0.5, 0.5],
  };
}

/** Labels of a labels.txt, whose lines Teachable Machine begins with their number. */
export function labelsOfText(text: string): string[] {
  const lines = text.replace(/\r?\n$/, "").split(/\r?\n/);
  const numbered = lines.every((line, i) => line.startsWith(`${i} `));
  return numbered ? lines.map((line, i) => line.slice(`${i} `.length)) : lines;
}
