// Decoded pictures kept in memory. Fine-tuning reads the same pictures every epoch, and each exactly once: so what is
// kept stays kept (evicting the least recently used would, on a set larger than the budget, hit nothing at all).
import type { Dataset, Picture } from "./picture.ts";

export interface CachedDataset extends Dataset {
  /** Bytes of pixels kept. */
  readonly bytes: number;
  /** True once a picture did not fit any more. */
  readonly full: boolean;
  /** Forgets all pictures. */
  clear(): void;
}

/** 512 MiB: about 43,000 pictures of 64×64, or 950 photographs of 500×375. */
export const DEFAULT_CACHE_BYTES = 512 * 2 ** 20;

/** A data set that decodes each picture once while `budget` bytes of pixels last; 0 keeps nothing. */
export function cached(dataset: Dataset, budget = DEFAULT_CACHE_BYTES): CachedDataset {
  const kept = new Map<number, Picture>();
  const pending = new Map<number, Promise<Picture>>();
  let bytes = 0;
  let full = false;

  async function load(i: number): Promise<Picture> {
    const picture = await dataset.get(i);
    if (bytes + picture.data.byteLength <= budget) {
      kept.set(i, picture);
      bytes += picture.data.byteLength;
    } else full = true;
    return picture;
  }

  return {
    length: dataset.length,
    classes: dataset.classes,
    label: (i) => dataset.label(i),
    path: dataset.path && ((i) => dataset.path?.(i) ?? ""),
    get bytes() {
      return bytes;
    },
    get full() {
      return full;
    },
    clear() {
      kept.clear();
      bytes = 0;
      full = false;
    },
    get(i) {
      const ready = kept.get(i);
      if (ready) return Promise.resolve(ready);
      const loading = pending.get(i) ?? load(i).finally(() => pending.delete(i));
      pending.set(i, loading);
      return loading;
    },
  };
}
