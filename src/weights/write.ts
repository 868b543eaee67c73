// Writing weight files to disk, so that a crash leaves either the old file or the new one.

import { UsageError } from "../core/error.ts";
import { safetensorsParts, type WriteDict, type WriteOptions } from "./safetensors_write.ts";

/**
 * Writes arrays to `path` (Node only), in the format its extension names: .safetensors.
 * Throws UsageError for another extension or arrays that do not fit their shapes, DataError where the disk refuses.
 */
export async function write(path: string, dict: WriteDict, options: WriteOptions = {}): Promise<void> {
  if (!/\.safetensors$/i.test(path)) {
    throw new UsageError(`weights: cannot write ${path}: the formats that can be written are .safetensors`);
  }
  if (typeof process !== "object" || !process.versions?.node) {
    throw new UsageError(
      "weights: there are no files in a browser; writeSafetensors gives the bytes to save",
    );
  }
  const { replaceFile } = await import("../core/replace_file.node.ts");
  await replaceFile(path, safetensorsParts(dict, options));
}
