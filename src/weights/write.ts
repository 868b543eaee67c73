// Writing weight files to disk, so that a crash leaves either the old file or the new one.

import { UsageError } from "../core/error.ts";
import { checkOptions } from "../core/options.ts";
import { safetensorsParts, type WriteOptions } from "./safetensors_write.ts";
import { pathOf } from "./source.ts";
import { torchParts } from "./torch_write.ts";
import type { WeightData } from "./types.ts";
import { entriesOf, type WriteDict, type WriteEntry } from "./write_items.ts";

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

/** File formats of named arrays by extension. */
const FORMATS: Readonly<Record<string, (dict: WriteDict, options: WriteOptions) => Uint8Array[]>> = {
  safetensors: safetensorsParts,
  pth: torchParts,
  pt: torchParts,
};

/** Extensions that `write` knows, with their dots. */
export const WRITTEN: readonly string[] = Object.keys(FORMATS).map((e) => `.${e}`);

const extensionOf = (path: string | URL): string =>
  /\.([^./\\]+)$/.exec(path instanceof URL ? path.pathname : String(path))?.[1].toLowerCase() ?? "";

/**
 * Writes arrays to `path` (Node only; a path or `file:` URL), in the format its extension names: .safetensors, or
 * .pth or .pt (a state dict that PyTorch loads with `weights_only=True`). The values of tensors are those at the call.
 * Throws UsageError for another extension, options that the format has not (`metadata` is safetensors') or arrays that
 * do not fit their shapes, DataError where the disk refuses.
 */
export async function write(path: string | URL, dict: FileDict, options: WriteOptions = {}): Promise<void> {
  const extension = extensionOf(path);
  const format = Object.hasOwn(FORMATS, extension) ? FORMATS[extension] : null;
  if (!format)
    throw new UsageError(
      `weights: cannot write ${path}: the formats that can be written are ${WRITTEN.join(", ")}`,
    );
  checkOptions("weights.write", options, ["metadata", "dtype"]);
  if (options.metadata && extension !== "safetensors")
    throw new UsageError(
      `weights: .${extension} files hold no metadata; write .safetensors, or leave it out`,
    );
  // All reads are begun before anything is awaited: whoever trains on meanwhile must not tear the file.
  const [target, entries] = await Promise.all([
    pathOf(path, "writeSafetensors and writeTorch give the bytes to save"),
    Promise.all(entriesOf(dict).map(async ([name, entry]) => [name, await onHost(entry)] as const)),
  ]);
  const { replaceFile } = await import("../core/replace_file.node.ts");
  await replaceFile(target, format(new Map(entries), options));
}

async function onHost(entry: WriteEntry | TensorToWrite): Promise<WriteEntry> {
  if (typeof entry?.data !== "function") return entry as WriteEntry;
  const { shape, dtype } = entry;
  return { shape, dtype, data: await entry.data() };
}
