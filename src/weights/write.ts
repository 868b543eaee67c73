// Writing weight files to disk, so that a crash leaves either the old file or the new one.

import { UsageError } from "../core/error.ts";
import { entriesOf, safetensorsParts, type WriteEntry, type WriteOptions } from "./safetensors_write.ts";
import { pathOf } from "./source.ts";
import type { WeightData } from "./types.ts";

/** A tensor whose values are read when it is written: the engine's Tensor. */
export interface TensorToWrite {
  readonly shape: readonly number[];
  readonly dtype: string;
  data(): Promise<WeightData>;
}

/** Arrays and tensors by name: what `weights.read`, `model.stateDict()` or `exportState` gives, or an object. */
export type FileDict =
  | ReadonlyMap<string, WriteEntry | TensorToWrite>
  | Readonly<Record<string, WriteEntry | TensorToWrite>>;

/**
 * Writes arrays to `path` (Node only; a path or `file:` URL), in the format its extension names: .safetensors. The
 * values of tensors are those at the call. Throws UsageError for another extension or arrays that do not fit their
 * shapes, DataError where the disk refuses.
 */
export async function write(path: string | URL, dict: FileDict, options: WriteOptions = {}): Promise<void> {
  if (!/\.safetensors$/i.test(path instanceof URL ? path.pathname : String(path))) {
    throw new UsageError(`weights: cannot write ${path}: the formats that can be written are .safetensors`);
  }
  // All reads are begun before anything is awaited: whoever trains on meanwhile must not tear the file.
  const [target, entries] = await Promise.all([
    pathOf(path, "writeSafetensors gives the bytes to save"),
    Promise.all(entriesOf(dict).map(async ([name, entry]) => [name, await onHost(entry)] as const)),
  ]);
  const { replaceFile } = await import("../core/replace_file.node.ts");
  await replaceFile(target, safetensorsParts(new Map(entries), options));
}

async function onHost(entry: WriteEntry | TensorToWrite): Promise<WriteEntry> {
  if (typeof entry?.data !== "function") return entry as WriteEntry;
  const { shape, dtype } = entry;
  return { shape, dtype, data: await entry.data() };
}
