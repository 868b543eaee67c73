// TensorFlow.js models: model.json, which describes the network and lists the arrays, and shards that hold their bytes
// back to back. Format: tfjs-core/src/io/types.ts (WeightsManifestConfig) and io_utils.ts (decodeWeights).

import { type Folder, relativePath } from "./folder.ts";
import { isObject, type Json, parseJson } from "./json.ts";
import { topologyOf } from "./model_info.ts";
import { Cursor, Source } from "./source.ts";
import { entryOf } from "./tensor_data.ts";
import {
  bytesOf,
  countOf,
  NOT_READ,
  type Plain,
  type Skipped,
  type WeightDType,
  type Weights,
} from "./types.ts";

export interface TfjsFile {
  readonly tensors: Weights;
  /** format, generatedBy, convertedBy, signature and the like: what model.json says as plain text. */
  readonly extras: Map<string, Plain>;
  readonly skipped: Skipped[];
  /** model.json as it was parsed. */
  readonly json: Json;
}

/** The format's element types; text is of any length. */
const DTYPES: Readonly<Record<string, WeightDType>> = { float32: "f32", int32: "i32", bool: "bool" };

/** The type in which quantised numbers are stored. float16 stays what it is; the others mean stored · scale + min. */
const STORED: Readonly<Record<string, WeightDType>> = { float16: "f16", uint8: "u8", uint16: "u16" };

/** One array of the manifest, checked. */
interface Spec {
  readonly name: string;
  readonly shape: number[];
  /** What it is once read. */
  readonly dtype: WeightDType | null;
  /** How its bytes lie in the shards; null where that is text or pairs. */
  readonly stored: WeightDType | null;
  readonly scale: number;
  readonly min: number;
  /** What the file calls its type. */
  readonly label: string;
  readonly count: number;
}

/** Whether a JSON text is the model.json of TensorFlow.js. */
export function looksLikeTfjs(text: string): boolean {
  return /^\s*\{/.test(text) && text.includes('"weightsManifest"');
}

/** Reads model.json and its shards, which lie in `folder` beside it. Throws DataError. */
export async function readTfjs(source: Source, folder: Folder, skipUnsupported: boolean): Promise<TfjsFile> {
  const json = parseJson(source, source.bytes, "its model.json");
  const manifest = json["weightsManifest"];
  if (!Array.isArray(manifest)) throw source.error("has no weightsManifest that is a list");
  const file: TfjsFile = { tensors: new Map(), extras: plainOf(json), skipped: [], json };
  for (const group of manifest) await readGroup(source, folder, group, file, skipUnsupported);
  return file;
}

function plainOf(json: Json): Map<string, Plain> {
  const extras = new Map<string, Plain>();
  for (const [key, value] of Object.entries(json)) {
    if (key === "weightsManifest" || key === "modelTopology") continue;
    if (value === null || typeof value !== "object") extras.set(key, value as Plain);
  }
  const topology = topologyOf(json["modelTopology"]);
  if (topology.kerasVersion !== null) extras.set("keras_version", topology.kerasVersion);
  if (topology.config !== null) extras.set("model_config", JSON.stringify(topology.config));
  return extras;
}

async function readGroup(
  source: Source,
  folder: Folder,
  group: unknown,
  file: TfjsFile,
  skipUnsupported: boolean,
): Promise<void> {
  const { paths, weights } = isObject(group) ? group : {};
  if (!Array.isArray(paths) || !Array.isArray(weights)) {
    throw source.error("has a weightsManifest entry without paths and weights");
  }
  const specs = weights.map((w) => specOf(source, w));
  const bytes = await readShards(source, folder, paths, specs);
  const shards = new Source(source.name, bytes);
  const cursor = new Cursor(shards, "the weights of its shards");
  for (const spec of specs) {
    if (file.tensors.has(spec.name)) throw source.error(`holds two tensors called "${spec.name}"`);
    readWeight(shards, cursor, spec, file, skipUnsupported);
  }
  if (cursor.left > 0) {
    throw source.error(
      `${cursor.left} bytes at the end of its shards ${paths.slice(0, 3).join(", ")} belong to no tensor`,
    );
  }
}

/** The shards back to back; their sizes are held against the manifest before anything is read. */
async function readShards(
  source: Source,
  folder: Folder,
  paths: readonly unknown[],
  specs: readonly Spec[],
): Promise<Uint8Array> {
  const names = paths.map((path) => relativePath(source, path));
  if (new Set(names).size < names.length) throw source.error("names one shard twice");
  let total = 0;
  for (const name of names) {
    const size = await folder.size(name);
    if (size === null) {
      throw source.error(
        `its weights lie in the file ${name} beside it, which is not there (${names.length} belong to it)`,
      );
    }
    total += size;
  }
  const needed = specs.reduce((n, s) => n + (s.stored ? s.count * bytesOf(s.stored) : 0), 0);
  const isOpen = specs.some((s) => s.stored === null);
  if (total < needed || (total > needed && !isOpen)) {
    throw source.error(
      `its ${specs.length} tensors take ${needed} bytes, but its shards (${names.slice(0, 3).join(", ")}${names.length > 3 ? ", …" : ""}) hold ${total}: ${total < needed ? "cut short" : "not its own"}`,
    );
  }
  if (names.length === 1) return folder.read(names[0]);
  const out = new Uint8Array(total);
  let at = 0;
  for (const name of names) {
    const part = await folder.read(name);
    if (at + part.length > total) throw source.error(`its file ${name} grew while it was read`);
    out.set(part, at);
    at += part.length;
  }
  return out.subarray(0, at);
}

function specOf(source: Source, weight: unknown): Spec {
  const { name, shape, dtype: label, quantization } = isObject(weight) ? weight : {};
  if (typeof name !== "string" || name.length > 4096) throw source.error("lists a weight without a name");
  const wrong = (sentence: string) => source.error(`tensor "${name}" ${sentence}`);
  if (typeof label !== "string") throw wrong("has no dtype");
  const isCount = (d: unknown) => Number.isSafeInteger(d) && (d as number) >= 0;
  if (!Array.isArray(shape) || shape.length > 64 || !shape.every(isCount)) {
    throw wrong("has no shape of at most 64 whole numbers");
  }
  const count = countOf(shape);
  if (count === null) throw wrong(`has the impossible shape [${shape}]: 2⁵³ elements or more`);
  const plain = { name, shape, label, count, scale: 1, min: 0 };
  const dtype = DTYPES[label] ?? null;
  if (quantization === undefined || quantization === null) return { ...plain, dtype, stored: dtype };
  if (label !== "float32" && label !== "int32")
    throw wrong(`is quantised ${label}, which the format does not know`);
  const q: Json = isObject(quantization) ? quantization : {};
  const { dtype: kind, scale, min } = q;
  const stored = typeof kind === "string" ? STORED[kind] : undefined;
  if (!stored) throw wrong(`is quantised as ${JSON.stringify(kind)}; known are float16, uint8 and uint16`);
  if (stored === "f16") {
    if (label !== "float32") throw wrong(`is ${label} quantised as float16`);
    return { ...plain, dtype: "f16", stored };
  }
  if (typeof scale !== "number" || typeof min !== "number") throw wrong("is quantised without scale and min");
  return { ...plain, dtype, stored, scale, min };
}

function readWeight(source: Source, cursor: Cursor, spec: Spec, file: TfjsFile, skip: boolean): void {
  const { name, shape, dtype, stored, count } = spec;
  if (stored === null || dtype === null) {
    if (!skip) throw source.error(`tensor "${name}" is ${spec.label}, ${NOT_READ}`);
    if (spec.label === "string") for (let i = 0; i < count; i++) cursor.take(cursor.u32());
    else if (spec.label === "complex64") cursor.take(8 * count);
    else throw source.error(`tensor "${name}" is ${spec.label}, of unknown length`);
    file.skipped.push({ name, reason: `is ${spec.label}` });
    return;
  }
  const entry = entryOf(source, name, stored, shape, cursor.take(count * bytesOf(stored)));
  if (stored === dtype) {
    file.tensors.set(name, entry);
    return;
  }
  source.spend(4 * count, `tensor "${name}"`);
  const { scale, min } = spec;
  const levels = entry.data as Uint8Array | Uint16Array;
  // In float64, rounded once as it is stored: what decodeWeights does.
  const data =
    dtype === "i32"
      ? Int32Array.from(levels, (v) => Math.round(v * scale + min))
      : Float32Array.from(levels, (v) => v * scale + min);
  file.tensors.set(name, { shape, dtype, data });
}
