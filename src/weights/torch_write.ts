// Writing PyTorch's zip archive (what torch.save writes since 1.6): a state dict and nothing else, which torch.load
// takes with weights_only=True. The same weights give the same file.

import { UsageError } from "../core/error.ts";
import { checkOptions } from "../core/options.ts";
import { pickleStateDict } from "./pickle_write.ts";
import type { WeightDType } from "./types.ts";
import {
  bytesIn,
  type Item,
  itemsOf,
  joined,
  PerData,
  type WriteDict,
  type WriteDType,
} from "./write_items.ts";
import { type ZipPart, zipParts } from "./zip_write.ts";

export interface TorchOptions {
  /** Round real numbers to this (to nearest, ties to even). Default: each array as it is. */
  readonly dtype?: WriteDType;
}

/** Classes of storages; torch has none for the other unsigned numbers. */
const STORAGES: Readonly<Partial<Record<WeightDType, string>>> = {
  f64: "DoubleStorage",
  f32: "FloatStorage",
  f16: "HalfStorage",
  bf16: "BFloat16Storage",
  i64: "LongStorage",
  i32: "IntStorage",
  i16: "ShortStorage",
  i8: "CharStorage",
  u8: "ByteStorage",
  bool: "BoolStorage",
};

/** The folder of the archive; torch.save takes the file's own name, and readers take any. */
const FOLDER = "archive";

function storageOf({ name, dtype }: Item): string {
  const found = STORAGES[dtype];
  if (!found)
    throw new UsageError(
      `weights: tensor "${name}" is ${dtype}, which PyTorch's files cannot hold (${Object.keys(STORAGES).join(", ")}); write .safetensors`,
    );
  return found;
}

/**
 * The archive in pieces. Arrays keep their order; one that stands under two names is stored once and shared, as tied
 * weights are. Throws UsageError for u16, u32 and u64, which PyTorch's files cannot hold, and beyond 4 GiB.
 */
export function torchParts(dict: WriteDict, options: TorchOptions = {}): Uint8Array[] {
  const items = itemsOf(dict, options.dtype);
  const keys = new PerData<string>();
  const storages: ZipPart[] = [];
  const tensors = items.map((item) => {
    const storage = storageOf(item);
    const key = keys.get(item, () => {
      const name = `${FOLDER}/data/${storages.length}`;
      return String(storages.push({ name, bytes: bytesIn(item) }) - 1);
    });
    return { name: item.name, storage, key, shape: item.shape, count: item.data.length };
  });
  const text = (name: string, content: string) => ({
    name: `${FOLDER}/${name}`,
    bytes: new TextEncoder().encode(content),
  });
  return zipParts([
    { name: `${FOLDER}/data.pkl`, bytes: pickleStateDict(tensors) },
    text("byteorder", "little"),
    ...storages,
    text("version", "3\n"),
  ]);
}

/** The bytes of a `.pth` file with the arrays of `dict` as its state dict. Throws as `torchParts` does. */
export function writeTorch(dict: WriteDict, options: TorchOptions = {}): Uint8Array {
  checkOptions("writeTorch", options, ["dtype"]);
  return joined(torchParts(dict, options));
}
