// Reading weight files of any format, which their content tells: PyTorch's zip archive, legacy stream and tar, plain
// pickles of tensors or NumPy arrays, safetensors, ONNX, and what archive.ts tells apart. Node and browser.

import { readArchive, readBeside } from "./archive.ts";
import { detect } from "./detect.ts";
import { flatten } from "./flatten.ts";
import { readKerasHdf5 } from "./keras.ts";
import type { FileModel } from "./model_info.ts";
import { readOnnx } from "./onnx.ts";
import { open } from "./open.ts";
import { parseSafetensors } from "./safetensors.ts";
import type { Source, WeightInput } from "./source.ts";
import { materialise } from "./tensor_data.ts";
import { readPickleFile } from "./torch_legacy.ts";
import { readTorchTar } from "./torch_tar.ts";
import { NOT_READ, type Plain, type Skipped, type WeightEntry, type Weights } from "./types.ts";
import { type PyValue, TensorRef, type UnreadableTensor } from "./values.ts";

export interface ReadOptions {
  /** Leave out arrays that Thaw does not read (quantised, complex, sparse, …) instead of throwing. Default false. */
  readonly skipUnsupported?: boolean;
  /** Check the CRC-32 of a zip archive's members; false for files whose writer left them wrong. Default true. */
  readonly verify?: boolean;
  /** What messages call bytes that come without a path. */
  readonly name?: string;
}

export interface Checkpoint {
  readonly format:
    | "safetensors"
    | "pytorch-zip"
    | "pytorch-legacy"
    | "pytorch-tar"
    | "pickle"
    | "keras-h5"
    | "keras-zip"
    | "tfjs"
    | "teachable-machine"
    | "onnx";
  readonly tensors: Weights;
  /** Numbers, text and lists of them beside the tensors, by the same kind of name; a safetensors file's metadata. */
  readonly extras: Map<string, Plain>;
  /** What `skipUnsupported` left out. */
  readonly skipped: Skipped[];
  /**
   * Classes that are neither Python's, PyTorch's nor NumPy's, of which a pickle holds objects ("mine.Net"). Their
   * attributes and items were read as data; nothing of theirs was run.
   */
  readonly foreign: string[];
  /** What Keras' and TensorFlow.js' files say of the network: layers, labels, preprocessing. Null for all others. */
  readonly model: FileModel | null;
}

/**
 * The arrays of a weight file by the file's own names, nested levels joined by "/" (a bare tensor is called "").
 * Row-major data as in WeightEntry. Throws DataError, one sentence naming the file, for whatever is damaged, hostile,
 * not weights, or (unless `skipUnsupported`) of a kind Thaw does not read; UsageError for a path in a browser.
 */
export async function read(input: WeightInput, options: ReadOptions = {}): Promise<Weights> {
  return (await readCheckpoint(input, options)).tensors;
}

/** The same with the plain values of the file (epoch, class names, …) and the list of what was skipped. */
export async function readCheckpoint(input: WeightInput, options: ReadOptions = {}): Promise<Checkpoint> {
  const { source, beside } = await open(input, options.name);
  const format = detect(source);
  const skip = options.skipUnsupported ?? false;
  const plain = { foreign: [], model: null };
  switch (format) {
    case "safetensors": {
      const { tensors, metadata, skipped } = parseSafetensors(source, skip);
      return { ...plain, format, tensors, extras: metadata, skipped };
    }
    case "zip": {
      const found = await readArchive(source, options.verify ?? true, skip);
      if ("root" in found) return { format: "pytorch-zip", ...collect(source, found.root, skip) };
      return { ...plain, ...found };
    }
    case "pickle": {
      const found = readPickleFile(source);
      return { format: found.format, ...collect(source, found.root, skip) };
    }
    case "pytorch-tar":
      return { format, ...collect(source, readTorchTar(source), skip) };
    case "hdf5":
      return { ...plain, format: "keras-h5", ...(await readKerasHdf5(source, skip)) };
    case "tfjs":
      return { ...plain, ...(await readBeside(source, beside, skip)) };
    case "onnx":
      return { ...plain, format, ...readOnnx(source, skip) };
    default:
      return format satisfies never;
  }
}

function collect(source: Source, root: PyValue, skipUnsupported: boolean): Omit<Checkpoint, "format"> {
  const { tensors: found, extras, foreign } = flatten(source, root);
  if (found.size === 0 && foreign.size > 0) {
    throw source.error(`holds no tensors, only objects of ${listOf(foreign)}, which Thaw never runs`);
  }
  const tensors: Weights = new Map();
  const skipped: Skipped[] = [];
  // A tensor under two names is one entry twice, so that tied weights stay tied and cost their memory once.
  const done = new Map<TensorRef | UnreadableTensor, WeightEntry>();
  for (const [name, tensor] of found) {
    if (tensor instanceof TensorRef) {
      const entry = done.get(tensor) ?? materialise(source, tensor, name);
      done.set(tensor, entry);
      tensors.set(name, entry);
    } else if (skipUnsupported) skipped.push({ name, reason: tensor.reason });
    else {
      throw source.error(`tensor "${name}" ${tensor.reason}, ${NOT_READ}`);
    }
  }
  return { tensors, extras, skipped, foreign: [...foreign], model: null };
}

function listOf(names: ReadonlySet<string>): string {
  const first = [...names].slice(0, 3).join(", ");
  const more = names.size - 3;
  return more > 0 ? `${first} and ${more} more ${more === 1 ? "class" : "classes"}` : first;
}
