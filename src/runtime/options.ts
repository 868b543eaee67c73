// Checks of what a caller passed to `init`, by shape alone: whether a device can be had is found out by opening it.

import { env } from "../core/env.ts";
import { nearest, tell, UsageError } from "../core/error.ts";
import { TUNE_MODES, type TuneMode } from "./tuning/tuner.ts";

interface Rule {
  readonly ok: (v: unknown) => boolean;
  /** What is expected, for the message. */
  readonly wants: string;
}

const isRecord = (v: unknown): v is Record<string, unknown> =>
  typeof v === "object" && v !== null && !Array.isArray(v);

/** An object of the host's WebGPU: recognised by what Thaw will call. */
const has = (v: unknown, method: string) => isRecord(v) && typeof v[method] === "function";

const isBoolean: Rule = { ok: (v) => typeof v === "boolean", wants: "true or false" };

const atLeast = (least: number): Rule => ({
  ok: (v) => Number.isSafeInteger(v) && (v as number) >= least,
  wants: `a whole number of at least ${least}`,
});

function isTuneMode(v: unknown): v is TuneMode {
  return TUNE_MODES.some((mode) => mode === v);
}

const OPTIONS: Readonly<Record<string, Rule>> = {
  gpu: { ok: (v) => has(v, "requestAdapter"), wants: "a GPU object such as navigator.gpu" },
  adapter: { ok: (v) => has(v, "requestDevice"), wants: "an adapter that requestAdapter() gave" },
  device: {
    ok: (v) => v === "cpu" || has(v, "createBuffer"),
    wants: 'an opened device or "cpu" (leave it out to use the GPU that is found)',
  },
  limits: { ok: isRecord, wants: "an object of limits" },
  dawn: {
    ok: (v) => Array.isArray(v) && v.every((flag) => /^[^=]+=./.test(String(flag))),
    wants: 'an array of flags such as "backend=vulkan"',
  },
  subgroups: isBoolean,
  precision: { ok: (v) => v === "f32" || v === "f16", wants: '"f32" or "f16"' },
  rewrites: { ok: (v) => v === false || isRecord(v), wants: "false, or an object of rewrites to switch off" },
  hoist: isBoolean,
  reuseSlots: isBoolean,
  shaders: { ok: (v) => v instanceof Map, wants: "a Map from file stem to text" },
  seed: atLeast(0),
  tune: { ok: isTuneMode, wants: '"off", "cached" or "on"' },
};

const LIMITS: Readonly<Record<string, Rule>> = {
  maxStorageBufferBindingSize: atLeast(1),
  maxComputeWorkgroupsPerDimension: atLeast(1),
};

/** Throws a UsageError for options that `init` does not have, or of a wrong kind. */
export function checkInitOptions(options: unknown): void {
  if (!isRecord(options)) throw new UsageError(`init: takes an object of options, got ${tell(options)}`);
  checkAll("", options, OPTIONS);
  checkAll("limits.", options.limits ?? {}, LIMITS);
  if (options.device === "cpu" && options.precision === "f16")
    throw new UsageError('init: precision "f16" is for GPUs, and device "cpu" computes in float64');
  if (options.device === "cpu" && options.tune === "on")
    throw new UsageError(
      'init: tune "on" needs a GPU: the interpreter of device "cpu" has no kernels to time',
    );
}

/** What `tune` is where it is not given: THAW_TUNE, else "cached". */
export function defaultTune(): TuneMode {
  const mode = env("THAW_TUNE") || "cached";
  if (!isTuneMode(mode)) throw new UsageError(`THAW_TUNE must be off, cached or on, not ${mode}`);
  return mode;
}

function checkAll(prefix: string, given: object, rules: Readonly<Record<string, Rule>>): void {
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(rules, name)) throw new UsageError(unknown(prefix, name, Object.keys(rules)));
    if (value === undefined || rules[name].ok(value)) continue;
    throw new UsageError(`init: ${prefix}${name} must be ${rules[name].wants}, got ${tell(value)}`);
  }
}

function unknown(prefix: string, name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  const help = near ? `did you mean ${prefix}${near}?` : `there are ${known.join(", ")}`;
  return `init: there is no option ${prefix}${name}; ${help}`;
}
