// The TypeScript side of test/fixtures/torchvision/make.py: the same weights, pictures and labels, and what torchvision
// computes with them.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { expect } from "vitest";
import { numel } from "../../src/core/shape.ts";
import { models, nn, type Tensor, tensor, train } from "../../src/index.ts";
import type { StateEntry } from "../../src/nn/index.ts";
import { readSafetensors } from "../../src/weights/index.ts";
import { normalish, uniforms } from "./counter.ts";
import { type Fixture, worst } from "./densenet_fixture.ts";

const SEED = 20261125;
const CLASSES = 13;

async function torchvisionFixture(name: string): Promise<Fixture> {
  const bytes = await readFile(new URL(`${name}.safetensors`, folder));
  const { tensors } = readSafetensors(bytes);
  return new Map([...tensors].map(([k, v]) => [k, v.data as Float64Array]));
}

/** The architecture with the fixture's weights; nothing is dropped, in train mode either. */
function torchvisionModel(name: string, six: boolean): models.Classifier {
  const model = nn.init.skipInit(() => {
    const made = models.create(name, { numClasses: CLASSES, ...undropped(name) });
    // VGG's dense layers of 4096 would be nine tenths of the work.
    if (name.startsWith("vgg")) train.replaceHead(made, "mlp:24", CLASSES);
    return made;
  });
  const state = [...model.namedState()];
  const own = new Set(state.map(([key]) => key));
  const dict = new Map<string, StateEntry>();
  for (const [i, [key, t]] of state.entries()) {
    if (t instanceof nn.Counter) {
      dict.set(key, { shape: [], dtype: "i64", data: BigInt64Array.of(0n) });
      continue;
    }
    const norm = own.has(key.replace(/[^.]+$/, "running_mean"));
    const data = Float32Array.from(values(key, i, t.shape, norm && six, norm));
    dict.set(key, { shape: t.shape, dtype: "f32", data });
  }
  model.loadStateDict(dict);
  return model;
}

function undropped(name: string): models.AnyModelOptions {
  if (name.startsWith("resnet")) return {};
  return name.startsWith("efficientnet") ? { dropout: 0, stochasticDepthProb: 0 } : { dropout: 0 };
}

function values(key: string, i: number, shape: readonly number[], six: boolean, norm: boolean): Float64Array {
  const n = numel(shape);
  if (shape.length > 1) {
    const bound = Math.sqrt(6 / (n / shape[0]));
    return uniforms(SEED, i, n).map((u) => (2 * u - 1) * bound);
  }
  if (key.endsWith("running_var")) return uniforms(SEED, i, n).map((u) => 1 + 0.2 * u);
  if (norm && key.endsWith("weight")) return uniforms(SEED, i, n).map((u) => 1 + 0.2 * (u - 0.5));
  const small = normalish(SEED, i, n).map((v) => 0.1 * v);
  if (!six || key.endsWith("running_mean")) return small;
  const sign = uniforms(SEED, n + 200_000, n);
  return small.map((v, k) => v + (sign[k] < 0.5 ? -6 : 6));
}

function torchvisionInputs(shape: readonly number[]): { x: Tensor; y: Tensor } {
  const x = uniforms(SEED, 900_000, numel(shape)).map((u) => (2 * u - 1) * 2);
  const y = uniforms(SEED, 900_001, shape[0]).map((u) => Math.floor(u * CLASSES));
  return { x: tensor(Float32Array.from(x), shape), y: tensor(Int32Array.from(y)) };
}

const folder = new URL("../fixtures/torchvision/", import.meta.url);

/** Architectures of torchvision's beside DenseNet, which has a test of its own. */
const NAMES = models.list().filter((name) => !/^(densenet|keras)/.test(name));

/** Names and cases; those whose fixture has not been made are named by `missing`. */
export function parity(usual: readonly string[], sixOf: (name: string) => boolean) {
  const all = process.env.THAW_TEST === "all";
  const file = (name: string) => `${name}${sixOf(name) ? ".six" : ""}.safetensors`;
  const chosen = NAMES.filter((name) => all || usual.includes(name));
  const here = (name: string) => existsSync(new URL(file(name), folder));
  return {
    present: chosen.filter(here),
    missing: chosen.filter((name) => !here(name)).map(file),
    cases: (name: string) => parityCases(!all, sixOf(name)).map((c): [string, ParityCase] => [labelOf(c), c]),
  };
}

export interface ParityCase {
  readonly shape: readonly number[];
  readonly train: boolean;
  /** Batch-norm biases of ±6, so that no ReLU hangs on rounding; else ordinary weights. */
  readonly six: boolean;
}

/** A usual and an odd picture size, in eval and train mode; with `one` the first of them in train mode only. */
function parityCases(one: boolean, six: boolean): ParityCase[] {
  const shapes = one
    ? [[2, 3, 64, 64]]
    : [
        [2, 3, 64, 64],
        [1, 3, 97, 75],
      ];
  const modes = one ? [true] : [false, true];
  return shapes.flatMap((shape) => modes.map((train) => ({ shape, train, six })));
}

const labelOf = ({ shape, train }: ParityCase) => `${shape.join("x")}.${train ? "train" : "eval"}`;

/**
 * Compares logits, loss, all gradients and running statistics with torchvision's in float64. Each may be off by `limit`,
 * relative to max(‖g‖, 1e-4 · largest ‖g‖), or by `single` times as much as PyTorch's own float32; gradients by `gradients`.
 */
export async function compare(
  name: string,
  c: ParityCase,
  limit: number,
  single: number,
  gradients = limit,
): Promise<void> {
  const label = labelOf(c);
  const fixture = await torchvisionFixture(c.six ? `${name}.six` : name);
  const model = torchvisionModel(name, c.six).train(c.train);
  const { x, y } = torchvisionInputs(c.shape);
  const logits = model.forward(x);
  const loss = nn.functional.crossEntropy(logits, y);
  loss.backward();
  const want = fixture.get(`${label}.logits`) as Float64Array;
  const got = await logits.data();
  expect(got.length).toBe(want.length);
  const top = want.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
  const [wantLoss, loss32, logits32] = fixture.get(`${label}.loss`) as Float64Array;
  const off = want.reduce((m, v, i) => Math.max(m, Math.abs(v - got[i])), 0) / top;
  expect(off, "logits").toBeLessThan(Math.max(limit, (single * logits32) / top));
  const lossOff = Math.abs((await loss.item()) - wantLoss) / wantLoss;
  expect(lossOff, "loss").toBeLessThan(Math.max(limit, (single * loss32) / wantLoss));
  const grads = [];
  for (const p of model.parameters()) grads.push(await (p.grad as NonNullable<typeof p.grad>).data());
  const parameters = [...model.namedParameters()].map(([n]) => n);
  const table = fixture.get(`${label}.grads`) as Float32Array;
  expect(table.length).toBe(34 * grads.length);
  const g = worst(table, grads, gradients, SEED, single);
  console.log(
    `${name} ${c.six ? "six " : ""}${label}: logits ${off.toExponential(1)}, worst gradient ${parameters[g.index]} ${g.relative.toExponential(1)} (${g.excess.toFixed(2)} of its bound)`,
  );
  expect(g.excess, `gradient of ${parameters[g.index]} is off by ${g.relative}`).toBeLessThan(1);
  const buffers = [];
  for (const [, b] of model.namedBuffers()) buffers.push(await b.data());
  if (!c.train || buffers.length === 0) return;
  const s = worst(fixture.get(`${label}.stats`) as Float32Array, buffers, limit, SEED, single);
  expect(s.excess, `running statistic ${s.index} is off by ${s.relative}`).toBeLessThan(1);
}
