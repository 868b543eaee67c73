// The command's options: what may be asked for, and one sentence for everything that may not.

import { UsageError } from "../src/core/error.ts";
import { parse, whole } from "./arguments.ts";

export const STEPS = ["forward", "head", "last", "all"] as const;
export type What = (typeof STEPS)[number];

/** A step to time: what trains, and the shape of its pictures. */
export interface Case {
  readonly what: What;
  readonly batch: number;
  readonly size: number;
}

export interface Options {
  /** Of the training steps, and of the plans whose kernels are timed. */
  readonly size: number;
  readonly batch: number;
  /** "some": those that answer within minutes. */
  readonly peers: "none" | "some" | "all";
  readonly json: boolean;
  readonly help: boolean;
  /** How many of the distinct kernels, the costliest first. */
  readonly kernels: number;
  readonly cases: readonly Case[];
  /** Timed steps of each kind; null: as many as fit into a few seconds. */
  readonly samples: number | null;
}

export const HELP = `node bench/densenet.ts [--size N] [--batch N] [--peers[=all]] [--json]

Verifies, then times DenseNet-121 (1000 classes) on this machine's GPU: the distinct kernels of a forward pass and of a
full step, a forward pass in eval mode, and one training step with everything, the last block, or only the head
trainable. Nothing is timed that has not just matched its reference. At the end: the project's goals, and whether this
run meets them.

  --size N       height and width of the pictures (default: 64; of the forward pass 224)
  --batch N      pictures in a batch (default: 8; of the forward pass 1)
                 with either, both are of all steps: the other one is 64 or 8
  --peers        also TensorFlow.js and jax-js on WebGPU (jax-js without its full step) and, where the system's python3
                 has torch and torchvision, PyTorch; their steps are taken in turn with Thaw's. The first time this
                 installs the packages of benchmarks/peers from the npm registry
  --peers=all    also jax-js' full step, which compiles for many minutes; what has no answer within 20 minutes is
                 counted as a time-out
  --steps LIST   only these of ${STEPS.join(",")}; or none
  --kernels N    at most N kernels, the costliest first; 0: none (default: all of them)
  --samples N    timed steps of each kind (default: as many as fit into a few seconds, with peers at least 3)
  --json         one JSON object a line on standard output, everything else on standard error
  --help         this text

Steps: the loss is read back after each; Adam; head: the trunk in eval mode, no cache; last: dense block 4, norm5 and
the classifier train, with batch statistics there and running ones below; all: batch statistics everywhere.
PyTorch runs on the GPU where torch.cuda is there (fp32, TF32, and AMP with channels last), else on the CPU.
See benchmarks/README.md for what each number means.
`;

const OPTIONS = {
  size: { type: "string" },
  batch: { type: "string" },
  peers: { type: "string" },
  steps: { type: "string" },
  kernels: { type: "string" },
  samples: { type: "string" },
  json: { type: "boolean" },
  help: { type: "boolean" },
} as const;

/** The steps of a list, in their usual order. */
export function stepsOf(value: string | undefined): readonly What[] {
  if (value === undefined) return STEPS;
  if (value === "none") return [];
  const names = value.split(",");
  for (const n of names) {
    if (!(STEPS as readonly string[]).includes(n))
      throw new UsageError(`--steps takes ${STEPS.join(",")} or none, got "${n}"`);
  }
  return STEPS.filter((s) => names.includes(s));
}

function peersOf(value: string | undefined): Options["peers"] {
  if (value === undefined) return "none";
  if (value === "some" || value === "all") return value;
  throw new UsageError(`--peers stands alone or is --peers=all, got "${value}"`);
}

/** Values of a batch of pictures: beyond this the host cannot make them, long before a device could hold the plan. */
const MOST_VALUES = 2 ** 28;

/** Height of the last block's feature maps. */
export function lastPlane(size: number): number {
  const stem = Math.floor((size - 1) / 2) + 1;
  const pooled = Math.floor((stem - 1) / 2) + 1;
  return Math.floor(pooled / 8);
}

/** The steps as the goals state them, unless a size or a batch was asked for. */
function casesOf(steps: readonly What[], batch: number | null, size: number | null): Case[] {
  const asked = batch !== null || size !== null;
  return steps.map((what) =>
    what === "forward" && !asked
      ? { what, batch: 1, size: 224 }
      : { what, batch: batch ?? 8, size: size ?? 64 },
  );
}

/** Throws UsageError with one sentence for anything that cannot be done as asked. */
export function readOptions(args: readonly string[]): Options {
  // --peers stands alone or with a value, which the parser has no form for.
  const given = args.map((a) => (a === "--peers" ? "--peers=some" : a));
  const v = parse(given, OPTIONS);
  const [size, batch] = [whole("size", v.size, 29), whole("batch", v.batch, 1)];
  const options: Options = {
    size: size ?? 64,
    batch: batch ?? 8,
    peers: peersOf(v.peers),
    json: v.json ?? false,
    help: v.help ?? false,
    kernels: whole("kernels", v.kernels, 0) ?? Number.POSITIVE_INFINITY,
    cases: casesOf(stepsOf(v.steps), batch, size),
    samples: whole("samples", v.samples, 1),
  };
  checkBatch(options.batch, options.size);
  return options;
}

/** Throws where no step can be taken on such pictures. */
export function checkBatch(batch: number, size: number): void {
  if (batch * 3 * size ** 2 > MOST_VALUES)
    throw new UsageError(
      `--size ${size} --batch ${batch} makes a batch of more than 1 GiB; take a smaller batch or size`,
    );
  if (batch * lastPlane(size) ** 2 < 2)
    throw new UsageError(
      `--size ${size} --batch ${batch} leaves one value per channel in the last block, which has no batch statistics; take a larger batch or size`,
    );
}
