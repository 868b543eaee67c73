// The door to finetune.node.ts, which is loaded when it is called: pages have no folders.

import { inNode } from "../core/env.ts";
import { UsageError } from "../core/error.ts";
import type { FinetuneOptions, FinetuneResult } from "./finetune_options.ts";

/**
 * Fine-tunes a classifier on a folder with one sub-folder of pictures per class and writes a run's folder, as
 * `thaw finetune` does. In Node only; elsewhere it throws a UsageError, and `fit` trains on any source of batches.
 */
export async function finetune(dir: string, options: FinetuneOptions = {}): Promise<FinetuneResult> {
  if (!inNode())
    throw new UsageError(
      "finetune reads folders, which a page has not; train with fit on a source of your own",
    );
  const node = await import("./finetune.node.ts");
  return node.finetune(dir, options);
}
