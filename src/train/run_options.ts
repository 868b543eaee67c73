// From what a user asks of a fine-tune to the options of the run: defaults, checks, and what a resumed run keeps.

import { nearest, UsageError } from "../core/error.ts";
import { checkName } from "../models/index.ts";
import { parseHead } from "./head.ts";
import { checkPolicy } from "./policy.ts";
import type { RunOptions } from "./run_info.ts";

/** Options by name; what is left out (or null) takes its default, or, in a resumed run, the run's own. */
export type GivenOptions = { readonly [K in keyof RunOptions]?: RunOptions[K] | undefined };

export const MODEL = "densenet121";

/** Shares held out where neither the user nor the folder says otherwise. */
export const SHARES = { val: 0.2, test: 0.1 };

/** How an option is called on the command line, for messages. */
export function optionName(key: string): string {
  const names: Record<string, string> = { frozenBatchNorm: "frozen-bn" };
  return names[key] ?? key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
}

/** All options of a new run. `pretrained`: weights were found where the user named none. Throws UsageError. */
export function newRunOptions(given: GivenOptions, pretrained: boolean): RunOptions {
  const weights = given.weights ?? (pretrained ? "imagenet" : "none");
  const optimizer = given.optimizer ?? "adam";
  const sgd = optimizer === "sgd";
  const options: RunOptions = {
    model: given.model ?? MODEL,
    weights,
    freeze: given.freeze ?? (given.unfrozenBlocks !== undefined || weights !== "none" ? ["trunk"] : ["none"]),
    unfrozenBlocks: given.unfrozenBlocks ?? 0,
    frozenBatchNorm: given.frozenBatchNorm ?? "running",
    head: given.head ?? "linear",
    optimizer,
    lr: given.lr ?? (sgd ? 1e-2 : 1e-3),
    weightDecay: given.weightDecay ?? (optimizer === "adamw" ? 1e-2 : 0),
    momentum: given.momentum ?? (sgd ? 0.9 : 0),
    batchSize: given.batchSize ?? 32,
    accumulate: given.accumulate ?? 1,
    clipNorm: given.clipNorm ?? null,
    imageSize: given.imageSize ?? null,
    val: given.val ?? null,
    test: given.test ?? null,
    group: given.group ?? null,
    perClass: given.perClass ?? null,
    limit: given.limit ?? null,
    monitor: given.monitor ?? "loss",
    seed: given.seed ?? 0,
  };
  check(options, given);
  return options;
}

/**
 * The options of a resumed run are those it was begun with. Throws a UsageError naming an option that was given
 * another value now. A share that was the default may be given as what it is.
 */
export function resumedOptions(given: GivenOptions, stored: RunOptions): RunOptions {
  const named: { val?: number; test?: number } = {};
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined) continue;
    if ((key === "val" || key === "test") && stored[key] === null && value === SHARES[key]) {
      named[key] = value;
      continue;
    }
    const own = stored[key as keyof RunOptions];
    if (JSON.stringify(own) === JSON.stringify(value)) continue;
    throw new UsageError(
      `${optionName(key)} ${show(value)}: the run was begun with ${show(own)}, and a resumed run keeps that; start a new run for another`,
    );
  }
  return { ...stored, ...named };
}

const show = (v: unknown) => (Array.isArray(v) ? v.join(",") : v === null ? "the default" : String(v));

function check(o: RunOptions, given: GivenOptions): void {
  const whole = (key: keyof RunOptions, least: number) => {
    const v = o[key];
    if (v !== null && (!Number.isInteger(v) || (v as number) < least))
      throw new UsageError(`${optionName(key)} must be a whole number of at least ${least}, not ${v}`);
  };
  const number = (key: keyof RunOptions, above: boolean) => {
    const v = o[key] as number | null;
    const fine = v === null || (Number.isFinite(v) && (above ? v > 0 : v >= 0));
    if (!fine)
      throw new UsageError(
        `${optionName(key)} must be a number ${above ? "above" : "of at least"} 0, not ${v}`,
      );
  };
  checkName(o.model);
  if (o.head !== "keep") parseHead(o.head);
  if (o.head === "keep" && o.weights === "none")
    throw new UsageError("head keep: with weights none there is no head to keep");
  const open = given.unfrozenBlocks;
  checkPolicy({ freeze: o.freeze, unfrozenBlocks: open, frozenBatchNorm: o.frozenBatchNorm });
  oneOf("optimizer", o.optimizer, ["adam", "adamw", "sgd"]);
  oneOf("monitor", o.monitor, ["loss", "accuracy"]);
  number("lr", true);
  number("weightDecay", false);
  number("momentum", false);
  number("clipNorm", true);
  whole("batchSize", 1);
  whole("accumulate", 1);
  whole("imageSize", 1);
  whole("perClass", 1);
  whole("limit", 1);
  whole("seed", 0);
  if (o.momentum >= 1) throw new UsageError(`momentum must be below 1, not ${o.momentum}`);
  if (given.momentum !== undefined && o.optimizer !== "sgd")
    throw new UsageError(`momentum is an option of sgd, but the optimizer is ${o.optimizer}`);
}

function oneOf(name: string, value: string, values: readonly string[]): void {
  if (values.includes(value)) return;
  const near = nearest(value, values);
  throw new UsageError(
    `${name} must be ${values.slice(0, -1).join(", ")} or ${values.at(-1)}, not ${value}${near ? `; did you mean ${near}?` : ""}`,
  );
}
