// nn.init: fills parameters with random or constant values. Defaults and formulas are torch.nn.init's; the numbers come
// from the runtime's seeded generator, the same on every machine.

import { UsageError } from "../core/error.ts";
import { numel, type Shape } from "../core/shape.ts";
import { runtime } from "../runtime/context.ts";
import { type Parameter, writeTensor } from "../tensor/parameter.ts";

/** Inputs and outputs that meet in one element: for OIHW weights the channels times the window. */
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

/** Standard normal numbers times `std`, as f32. */
export function normalValues(count: number, std: number, mean = 0): Float32Array {
  if (blank) return new Float32Array(count);
  const { generator } = runtime();
  return Float32Array.from({ length: count }, () => mean + std * generator.normal());
}

/** Uniform numbers in [low, high), as f32. */
export function uniformValues(count: number, low: number, high: number): Float32Array {
  if (blank) return new Float32Array(count);
  const { generator } = runtime();
  return Float32Array.from({ length: count }, () => low + (high - low) * generator.uniform());
}

export function constant(p: Parameter, value: number): Parameter {
  writeTensor(p, new Float32Array(p.numel).fill(value));
  return p;
}

export const zeros = (p: Parameter): Parameter => constant(p, 0);
export const ones = (p: Parameter): Parameter => constant(p, 1);

export function normal(p: Parameter, mean = 0, std = 1): Parameter {
  writeTensor(p, normalValues(p.numel, std, mean));
  return p;
}

export function uniform(p: Parameter, low = 0, high = 1): Parameter {
  writeTensor(p, uniformValues(p.numel, low, high));
  return p;
}

export type Mode = "fanIn" | "fanOut";

/** Gain of a leaky ReLU with the given slope: √(2 / (1 + slope²)); slope 0 is the ReLU. */
const gain = (slope: number) => Math.sqrt(2 / (1 + slope * slope));

/** He initialisation (Kaiming He et al. 2015): normal with std gain / √fan. */
export function kaimingNormal(p: Parameter, options: { slope?: number; mode?: Mode } = {}): Parameter {
  const { slope = 0, mode = "fanIn" } = options;
  return normal(p, 0, gain(slope) / Math.sqrt(fans(p.shape)[mode]));
}

/** He initialisation, uniform in ±gain·√(3 / fan). */
export function kaimingUniform(p: Parameter, options: { slope?: number; mode?: Mode } = {}): Parameter {
  const { slope = 0, mode = "fanIn" } = options;
  const bound = gain(slope) * Math.sqrt(3 / fans(p.shape)[mode]);
  return uniform(p, -bound, bound);
}

/** Glorot initialisation: uniform in ±√(6 / (fanIn + fanOut)). */
export function xavierUniform(p: Parameter): Parameter {
  const { fanIn, fanOut } = fans(p.shape);
  const bound = Math.sqrt(6 / (fanIn + fanOut));
  return uniform(p, -bound, bound);
}
