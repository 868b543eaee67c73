// Turns an op's samples into arrays: seeded, away from kinks where gradients are checked, or whole numbers where
// exactness is.
import type { DType } from "../../src/core/dtype.ts";
import { hash53 } from "../../src/core/hash.ts";
import { Generator } from "../../src/core/random.ts";
import { numel } from "../../src/core/shape.ts";
import { type NDArray, ndarray } from "../../src/graph/array.ts";
import type { AnyOp, InputSpec, Sample } from "../../src/graph/op.ts";

const MARGIN = 2e-3;

function fill(spec: InputSpec, random: Generator, kinks: readonly number[]): Float64Array {
  const n = numel(spec.shape);
  if (spec.values) return Float64Array.from({ length: n }, (_, i) => spec.values![i % spec.values!.length]);
  const dtype = spec.dtype ?? "f32";
  const low = spec.low ?? -2;
  const high = spec.high ?? 2;
  if (dtype !== "f32") {
    const from = spec.low ?? 0;
    const to = spec.high ?? 8;
    return Float64Array.from({ length: n }, () => from + random.integer(to - from));
  }
  const order = random.shuffle(Array.from({ length: n }, (_, i) => i));
  return Float64Array.from({ length: n }, (_, i) => {
    // Distinct values sit in cells of their own, half of each cell left free.
    let v = spec.distinct
      ? low + ((order[i] + 0.25 + 0.5 * random.uniform()) * (high - low)) / n
      : low + (high - low) * random.uniform();
    for (const k of kinks) if (Math.abs(v - k) < MARGIN) v = k + (v < k ? -MARGIN : MARGIN);
    return Math.fround(v);
  });
}

/** Real inputs of sample number `index`, rounded to f32. */
export function realInputs(op: AnyOp, sample: Sample, index: number): NDArray[] {
  const random = new Generator(hash53(op.name) % 2 ** 32, index);
  return sample.inputs.map((s) =>
    ndarray(s.shape, fill(s, random, op.kinks ?? []), (s.dtype ?? "f32") as DType),
  );
}

/** Small whole numbers instead of reals; special values and integer operands stay as they are. */
export function wholeInputs(op: AnyOp, sample: Sample, index: number): NDArray[] {
  const random = new Generator((hash53(op.name) % 2 ** 32) + 1, index);
  const [low, high] = op.exactRange ?? [-4, 4];
  return sample.inputs.map((s) => {
    const dtype = (s.dtype ?? "f32") as DType;
    if (s.values || dtype !== "f32") return ndarray(s.shape, fill(s, random, []), dtype);
    return ndarray(
      s.shape,
      Float64Array.from({ length: numel(s.shape) }, () => low + random.integer(high - low + 1)),
      dtype,
    );
  });
}

/** Random numbers in [-1, 1] of a shape: cotangents and directions. */
export function randomLike(shape: readonly number[], seed: number, stream: number): NDArray {
  const random = new Generator(seed, stream);
  return ndarray(
    shape,
    Float64Array.from({ length: numel(shape) }, () => 2 * random.uniform() - 1),
  );
}

/** A name for a sample in test reports. */
export function sampleName(sample: Sample): string {
  const shapes = sample.inputs.map((s) => `[${s.shape.join(",")}]`).join(" ");
  const attrs =
    sample.attrs && Object.keys(sample.attrs).length > 0 ? ` ${JSON.stringify(sample.attrs)}` : "";
  return `${shapes}${attrs}${sample.note ? ` (${sample.note})` : ""}`;
}
