// The TypeScript side of test/fixtures/densenet/make.py: the same weights, pictures and labels, and comparing by
// projections.
import { readFile } from "node:fs/promises";
import { numel } from "../../src/core/shape.ts";
import { models, nn, type Tensor, tensor } from "../../src/index.ts";
import { readSafetensors } from "../../src/weights/index.ts";
import { distance, normalish, projections, uniforms } from "./counter.ts";

export const SEED = 20261123;

export type Fixture = Map<string, Float64Array | Float32Array>;

export async function loadFixture(): Promise<Fixture> {
  const bytes = await readFile(new URL("../fixtures/densenet/densenet121.safetensors", import.meta.url));
  const { tensors } = readSafetensors(bytes);
  return new Map([...tensors].map(([k, v]) => [k, v.data as Float64Array]));
}

/** torchvision's DenseNet-121 with the fixture's weights; `six` gives its batch norms biases of ±6. */
export function fixtureModel(six: boolean): models.DenseNet {
  const model = models.densenet121();
  const dict = new Map<
    string,
    { shape: readonly number[]; dtype: string; data: Float32Array | BigInt64Array }
  >();
  [...model.namedState()].forEach(([name, t], i) => {
    if (t instanceof nn.Counter) {
      dict.set(name, { shape: [], dtype: "i64", data: BigInt64Array.of(0n) });
      return;
    }
    dict.set(name, { shape: t.shape, dtype: "f32", data: Float32Array.from(values(name, t.shape, i, six)) });
  });
  model.loadStateDict(dict);
  return model;
}

function values(name: string, shape: readonly number[], i: number, six: boolean): Float64Array {
  const n = numel(shape);
  if (shape.length > 1) {
    const bound = Math.sqrt(6 / (n / shape[0]));
    return uniforms(SEED, i, n).map((u) => (2 * u - 1) * bound);
  }
  if (name.endsWith("running_var")) return uniforms(SEED, i, n).map((u) => 1 + 0.2 * u);
  if (name.endsWith("running_mean") || name === "classifier.bias")
    return normalish(SEED, i, n).map((v) => 0.1 * v);
  if (name.endsWith("weight")) return uniforms(SEED, i, n).map((u) => 1 + 0.2 * (u - 0.5));
  const b = normalish(SEED, i, n).map((v) => 0.1 * v);
  if (!six) return b;
  const sign = uniforms(SEED, i + 100_000, n);
  return b.map((v, k) => v + (sign[k] < 0.5 ? -6 : 6));
}

export function fixtureInputs(shape: readonly number[]): { x: Tensor; y: Tensor } {
  const x = uniforms(SEED, 900_000, numel(shape)).map((u) => (2 * u - 1) * 2);
  const y = uniforms(SEED, 900_001, shape[0]).map((u) => Math.floor(u * 1000));
  return { x: tensor(Float32Array.from(x), shape), y: tensor(Int32Array.from(y)) };
}

/** One row of a table: norm, 32 projections, distance of PyTorch's own float32. */
export interface Row {
  readonly norm: number;
  readonly projections: Float32Array;
  readonly torch32: number;
}

export function rows(table: Float64Array | Float32Array): Row[] {
  const out: Row[] = [];
  for (let i = 0; i < table.length; i += 34) {
    out.push({
      norm: table[i],
      projections: Float32Array.from(table.subarray(i + 1, i + 33)),
      torch32: table[i + 33],
    });
  }
  return out;
}

/** Distance of a tensor from a row's, by projections; `stream` is the row's number. */
export function rowDistance(row: Row, stream: number, data: ArrayLike<number>, seed = SEED): number {
  return distance(projections(seed + 1, stream, data), row.projections);
}

/** Largest relative distance over a table, with its bound: `floor`, or `single` times PyTorch float32's own. */
export function worst(
  table: Float64Array | Float32Array,
  data: readonly ArrayLike<number>[],
  floor: number,
  seed = SEED,
  single = 10,
): { excess: number; index: number; relative: number } {
  const list = rows(table);
  const largest = Math.max(...list.map((r) => r.norm));
  let out = { excess: 0, index: -1, relative: 0 };
  list.forEach((row, i) => {
    const scale = Math.max(row.norm, 1e-4 * largest);
    const relative = rowDistance(row, i, data[i], seed) / scale;
    const excess = relative / Math.max(floor, (single * row.torch32) / scale);
    if (excess > out.excess) out = { excess, index: i, relative };
  });
  return out;
}
