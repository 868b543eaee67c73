// Thaw as an engine of the benchmark: each job on a device of its own, so that the first step pays for what a first step
// costs. Steps are compiled.

import {
  close,
  compile,
  freeze,
  type InitOptions,
  init,
  models,
  nn,
  noGrad,
  optim,
  type Tensor,
  tensor,
  unfreeze,
  weights,
} from "../src/index.ts";
import { exportState } from "../src/nn/index.ts";
import { runtime } from "../src/runtime/context.ts";
import type { GpuBackend } from "../src/runtime/gpu_backend.ts";
import type { DispatchStep, Plan } from "../src/schedule/plan.ts";
import { fixtureModel } from "../test/lib/densenet_fixture.ts";
import { ADAM, type Engine, type Job, type Loaded, type StepResult } from "./engine.ts";
import type { What } from "./options.ts";

const SEED = 20261123;

/** A wave that fills the range of normalised pictures, and labels spread over the classes. */
export function batchOf(batch: number, size: number): { x: Float32Array; y: Int32Array } {
  return {
    x: Float32Array.from({ length: batch * 3 * size * size }, (_, i) => 2 * Math.sin(1.7 * i + (i % 1013))),
    y: Int32Array.from({ length: batch }, (_, i) => (131 * i + 7) % 1000),
  };
}

/**
 * Writes weights, pictures and labels: what every engine loads. The weights are those of the parity tests whose batch
 * norms have biases of ±6: on ordinary ones PyTorch's own float32 loses agreement with float64 within a step (DESIGN §1),
 * and no engine could be told from a wrong one. How long a step takes does not hang on them.
 */
export async function writeJobFile(path: string, batch: number, size: number): Promise<void> {
  const dict = await exportState(fixtureModel(true));
  const { x, y } = batchOf(batch, size);
  dict.set("bench.x", { shape: [batch, 3, size, size], dtype: "f32", data: x });
  dict.set("bench.y", { shape: [batch], dtype: "i32", data: y });
  await weights.write(path, dict as weights.Weights);
}

/** Leaves trainable what the step trains; the rest is frozen with its batch norms on running statistics. */
function open(model: models.DenseNet, what: What): void {
  if (what === "forward") {
    model.eval();
    return;
  }
  model.train();
  if (what === "all") return;
  freeze(model);
  // The last two blocks of the trunk are denseblock4 and norm5.
  if (what === "last") unfreeze(model.features.slice(-2));
  unfreeze(model.head);
  model.train();
}

/** Pipelines that a plan needs: its distinct shaders with what is spliced into them. */
function pipelinesOf(plan: Plan): number {
  const key = (s: DispatchStep) => JSON.stringify([s.shader, s.specialisation, Object.keys(s.bind)]);
  const steps = [...plan.hoisted, ...plan.steps];
  return new Set(steps.flatMap((s) => (s.kind === "dispatch" ? [key(s)] : []))).size;
}

export async function backend(): Promise<GpuBackend> {
  return (await runtime().backend()) as GpuBackend;
}

function forwardPass(model: models.DenseNet, x: Tensor): () => Tensor {
  const forward = compile((input: Tensor) => noGrad(() => model.forward(input)));
  return () => forward(x);
}

/** A compiled step on the same pictures again and again; calling it gives the loss. */
export function trainingStep(
  model: nn.Module & { forward(x: Tensor): Tensor },
  params: readonly nn.Parameter[],
  x: Tensor,
  y: Tensor,
): () => Tensor {
  const opt = new optim.Adam(params, ADAM);
  const train = compile((input: Tensor, labels: Tensor) => {
    const loss = nn.functional.crossEntropy(model.forward(input), labels);
    opt.zeroGrad();
    loss.backward();
    void opt.step();
    return loss;
  });
  return () => train(x, y);
}

export class ThawEngine implements Engine {
  readonly name = "thaw";
  readonly #options: InitOptions;
  #run: (() => Tensor) | null = null;
  #scalar = false;

  /** `options` of init: rewrites to switch off. */
  constructor(options: InitOptions = {}) {
    this.#options = options;
  }

  async load({ what, weights: path }: Job): Promise<Loaded> {
    await close();
    await init({ seed: SEED, ...this.#options });
    const dict = new Map(await weights.read(path));
    const [x, y] = ["bench.x", "bench.y"].map((name) => {
      const entry = dict.get(name) as weights.WeightEntry;
      dict.delete(name);
      return tensor(entry.data as Float32Array | Int32Array, entry.shape);
    });
    const model = models.densenet121();
    model.loadStateDict(dict);
    open(model, what);
    this.#scalar = what !== "forward";
    const params = what === "forward" ? [] : model.parameters().filter((p) => p.requiresGrad);
    this.#run = what === "forward" ? forwardPass(model, x) : trainingStep(model, params, x, y);
    return { trained: params.reduce((n, p) => n + p.numel, 0), adapter: (await backend()).name };
  }

  /** Loads a step of any other network; `make` builds it on the new device. */
  async loadStep(make: () => () => Tensor): Promise<void> {
    await close();
    await init({ seed: SEED, ...this.#options });
    this.#scalar = true;
    this.#run = make();
  }

  /** Of a loaded forward pass. */
  async logits(): Promise<Float32Array> {
    return (await this.#once()) as Float32Array;
  }

  async #once(): Promise<ArrayLike<number>> {
    if (!this.#run) throw new Error("benchmark: nothing is loaded");
    return this.#run().data();
  }

  /** The plan of the loaded step, once it has run. */
  async plan(): Promise<Plan> {
    return (await backend()).plans.at(-1) as Plan;
  }

  async step(count = true): Promise<StepResult> {
    const gpu = await backend();
    const before = gpu.stats;
    const [cpu, began] = [process.cpuUsage(), performance.now()];
    const out = await this.#once();
    const ms = performance.now() - began;
    const { user, system } = process.cpuUsage(cpu);
    const { dispatches, buffers, bufferBytes, bindGroups, submits } = gpu.stats;
    return {
      ms,
      cpuMs: (user + system) / 1e3,
      loss: this.#scalar ? out[0] : null,
      logits: count && !this.#scalar ? out : undefined,
      newBindGroups: bindGroups - before.bindGroups,
      submits: submits - before.submits,
      dispatches: dispatches - before.dispatches,
      newBuffers: buffers - before.buffers,
      pipelines: pipelinesOf(await this.plan()),
      gpuBytes: bufferBytes,
    };
  }

  async close(): Promise<void> {
    this.#run = null;
    await close();
  }
}
