// Options that several commands have.

import { UsageError } from "../core/error.ts";
import type { FreezePolicy } from "../train/index.ts";
import type { Options } from "./args.ts";

export const FREEZE = {
  freeze: {
    kind: "list",
    value: "all|none|trunk|PATTERN…",
    help: "what does not train: all (everything but a fresh head), none, trunk (or features: everything below the head), or names of layers or parameters, with * and ?, and [from:to] for a range of children, as features.denseblock1 or features[:-2]",
  },
  "unfrozen-blocks": {
    kind: "whole",
    value: "N",
    help: "open the last N blocks of a frozen trunk (for DenseNet, children of features)",
  },
  "frozen-bn": {
    kind: "text",
    value: "running|batch",
    help: "what frozen batch norms normalise by: their running statistics (default, as Keras), or those of the batch (as PyTorch with requires_grad = False)",
  },
  head: {
    kind: "text",
    value: "SPEC",
    help: "linear: a fresh last layer; mlp:512,dropout:0.5: fresh layers of these widths and dropouts before it",
  },
  "image-size": { kind: "whole", value: "N", help: "height and width of the network's input" },
} as const satisfies Options;

/** The value of --frozen-bn. */
export function frozenBatchNorm(value: string | undefined): FreezePolicy["frozenBatchNorm"] {
  if (value === undefined || value === "running" || value === "batch") return value;
  throw new UsageError(`--frozen-bn must be running or batch, not ${value}`);
}
