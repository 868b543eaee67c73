// nn.init: fills parameters with random or constant values. Defaults and formulas are torch.nn.init's; the numbers come
// from the runtime's seeded generator, the same on every machine.

import { UsageError } from "../core/error.ts";
import { checkNumber, checkOptions, checkWord, shown } from "../core/options.ts";
import { numel, type Shape } from "../core/shape.ts";
import { runtime } from "../runtime/context.ts";
import { type Parameter, writeTensor } from "../tensor/parameter.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Inputs and outputs that meet in one element: for OIHW weights channels times window; throws below 2 dimensions. */
export function fans(shape: Shape): { fanIn: number; fanOut: number } {
  if (shape.length < 2)
    throw new UsageError(`init: fan in and fan out need at least 2 dimensions, got [${shape}]`);
  const window = numel(shape.slice(2));
  return { fanIn: shape[1] * window, fanOut: shape[0] * window };
}

let blank = false;

/**
 * Runs `make` without drawing initial values: parameters are zeros, to be loaded from a file at once (as PyTorch's
 * skip_init). A network of 20 million parameters is then there in no time.
 */
export function skipInit<T>(make: () => T): T {
  const before = blank;
  blank = true;
  try {
    return make();
  } finally {
    blank = before;
  }
}

/** Whether no initial values are drawn now. */
export const skipping = (): boolean => blank;

/** Standard normal numbers times `std`, as f32. */
export function normalValues(count: number, std: number, mean = 0): Float32Array {
  const { generator } = runtime();
  return Float32Array.from({ length: count }, () => mean + std * generator.normal());
}

/** Uniform numbers in [low, high), as f32. */
export function uniformValues(count: number, low: number, high: number): Float32Array {
  const { generator } = runtime();
  return Float32Array.from({ length: count }, () => low + (high - low) * generator.uniform());
}

function fill(what: string, p: Parameter, values: (() => Float32Array) | null): Parameter {
  if (!(p instanceof Tensor && p.variable.state))
    throw new UsageError(`init.${what}: takes a Parameter or a Buffer, got ${shown(p)}`);
  if (values) writeTensor(p, values());
  return p;
}

/** Fills with random numbers. Under skipInit nothing is drawn or written: half a gigabyte of zeros is never touched. */
export const draw = (what: string, p: Parameter, values: () => Float32Array): Parameter =>
  fill(what, p, blank ? null : values);

/** Fills a parameter with one value and returns it (torch.nn.init.constant_). */
export function constant(p: Parameter, value: number): Parameter {
  checkNumber("init.constant", "value", value);
  return fill("constant", p, () => new Float32Array(p.numel).fill(value));
}

/** Fills a parameter with 0 (torch.nn.init.zeros_). */
export const zeros = (p: Parameter): Parameter => fill("zeros", p, () => new Float32Array(p.numel));

/** Fills a parameter with 1 (torch.nn.init.ones_). */
export const ones = (p: Parameter): Parameter => fill("ones", p, () => new Float32Array(p.numel).fill(1));

/** Normal numbers of this mean and standard deviation (torch.nn.init.normal_). */
export function normal(p: Parameter, mean = 0, std = 1): Parameter {
  checkNumber("init.normal", "mean", mean);
  checkNumber("init.normal", "std", std, { min: 0 });
  return draw("normal", p, () => normalValues(p.numel, std, mean));
}

/** Uniform numbers in [low, high) (torch.nn.init.uniform_). */
export function uniform(p: Parameter, low = 0, high = 1): Parameter {
  checkNumber("init.uniform", "low", low);
  checkNumber("init.uniform", "high", high, { min: low });
  return draw("uniform", p, () => uniformValues(p.numel, low, high));
}

/** Which of a weight's fans counts. */
export type Mode = "fanIn" | "fanOut";

/** Options of He initialisation. */
export interface KaimingOptions {
  /** Slope of the leaky ReLU that follows (torch's `a`). Default 0: a ReLU. */
  readonly slope?: number;
  /** Whether the forward pass ("fanIn", default) or the backward pass keeps its variance. */
  readonly mode?: Mode;
}

/** √2 / √(1 + slope²) / √fan: He's standard deviation. */
function heStd(what: string, p: Parameter, options: KaimingOptions): number {
  checkOptions(what, options, ["slope", "mode"]);
  const { slope = 0, mode = "fanIn" } = options;
  checkNumber(what, "slope", slope);
  checkWord(what, "mode", mode, ["fanIn", "fanOut"]);
  return Math.sqrt(2 / (1 + slope * slope)) / Math.sqrt(fans(p.shape)[mode]);
}

/**
 * He initialisation (Kaiming He et al. 2015; torch.nn.init.kaiming_normal_): normal with std gain / √fan. Throws a
 * UsageError for parameters of fewer than 2 dimensions.
 */
export function kaimingNormal(p: Parameter, options: KaimingOptions = {}): Parameter {
  return normal(p, 0, heStd("init.kaimingNormal", p, options));
}

/** He initialisation, uniform in ±gain·√(3 / fan) (torch.nn.init.kaiming_uniform_). */
export function kaimingUniform(p: Parameter, options: KaimingOptions = {}): Parameter {
  const bound = Math.sqrt(3) * heStd("init.kaimingUniform", p, options);
  return uniform(p, -bound, bound);
}

/** Glorot initialisation (torch.nn.init.xavier_uniform_): uniform in ±gain·√(6 / (fanIn + fanOut)). */
export function xavierUniform(p: Parameter, gain = 1): Parameter {
  checkNumber("init.xavierUniform", "gain", gain, { min: 0 });
  const { fanIn, fanOut } = fans(p.shape);
  const bound = gain * Math.sqrt(6 / (fanIn + fanOut));
  return uniform(p, -bound, bound);
}
