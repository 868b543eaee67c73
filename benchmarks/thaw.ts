// Thaw as an engine of the benchmark: each job on a device of its own, so that the first step pays for what a first step
// costs. Steps are compiled.

import {
  close,
  compile,
  type InitOptions,
  init,
  models,
  type nn,
  noGrad,
  optim,
  planOf,
  type Tensor,
  tensor,
  train,
  weights,
} from "../src/index.ts";
import { exportState } from "../src/nn/index.ts";
import { runtime } from "../src/runtime/context.ts";
import type { GpuBackend } from "../src/runtime/gpu_backend.ts";
import type { DispatchStep, Plan } from "../src/schedule/plan.ts";
import { madeUpBatch, POLICIES, plainStep } from "../src/train/sample_step.ts";
import { fixtureModel } from "../test/lib/densenet_fixture.ts";
import { ADAM, type Engine, type Job, type Loaded, type StepResult } from "./engine.ts";

const SEED = 20261123;

/**
 * Writes weights, pictures and labels: what every engine loads. The weights are those of the parity tests whose batch
 * norms have biases of ±6: on ordinary ones PyTorch's own float32 loses agreement with float64 within a step (DESIGN §1),
 * and no engine could be told from a wrong one. How long a step takes does not hang on them.
 */
export async function writeJobFile(path: string, batch: number, size: number): Promise<void> {
  const dict = await exportState(fixtureModel(true));
  const { x, y } = madeUpBatch(batch, size);
  dict.set("bench.x", { shape: [batch, 3, size, size], dtype: "f32", data: x });
  dict.set("bench.y", { shape: [batch], dtype: "i32", data: y });
  await weights.write(path, dict as weights.Weights);
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

/** A step, not compiled yet, and the pictures that it is taken on again and again. */
export interface StepOn {
  readonly fn: (x: Tensor, y: Tensor) => Tensor;
  readonly args: readonly [Tensor, Tensor];
}

const trainedOf = (model: nn.Module) => model.parameters().filter((p) => p.requiresGrad);

/** A training step of what is not frozen on made-up pictures; it gives the loss. */
export function trainingStep(model: models.DenseNet, batch: number, size: number): StepOn {
  const { x, y } = madeUpBatch(batch, size);
  const fn = plainStep(model, new optim.Adam(trainedOf(model), ADAM));
  return { fn, args: [tensor(x, [batch, 3, size, size]), tensor(y)] };
}

/** The plan of a step, made on a device of its own and not run; `make` builds the step there. */
export async function planAlone<A extends Tensor[]>(
  make: () => { readonly fn: (...args: A) => Tensor; readonly args: Readonly<A> },
): Promise<Plan> {
  await close();
  await init({ seed: SEED });
  const { fn, args } = make();
  const plan = await planOf(fn, ...args);
  await close();
  return plan;
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
    const adapter = (await backend()).name;
    if (what === "forward") {
      model.eval();
      this.#take({ fn: (input) => noGrad(() => model.forward(input)), args: [x, y] }, false);
      return { trained: 0, adapter };
    }
    const { trainableCount: trained } = train.applyPolicy(model, POLICIES[what]);
    model.train();
    this.#take({ fn: plainStep(model, new optim.Adam(trainedOf(model), ADAM)), args: [x, y] }, true);
    return { trained, adapter };
  }

  #take({ fn, args }: StepOn, scalar: boolean): void {
    const step = compile(fn);
    this.#scalar = scalar;
    this.#run = () => step(...args);
  }

  /** Loads a training step of any other network; `make` builds it on the new device. */
  async loadStep(make: () => StepOn): Promise<void> {
    await close();
    await init({ seed: SEED, ...this.#options });
    this.#take(make(), true);
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
