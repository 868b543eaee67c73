// The WebGPU backend: turns cuts into plans (found again by key), fills their leaves and runs them. Where their results
// lie is kept in gpu_results.ts.

import { type HostArray, hostArray } from "../core/dtype.ts";
import { debugLevel } from "../core/env.ts";
import { numel, show } from "../core/shape.ts";
import type { DeviceBuffer } from "../gpu/buffers.ts";
import { type Ceilings, measureCeilings } from "../gpu/ceilings.ts";
import type { Command } from "../gpu/commands.ts";
import { type AdapterSummary, adapterName, type Gpu, openDevice } from "../gpu/device.ts";
import { openTools } from "../gpu/lone_dispatch.ts";
import { shaderInfo } from "../gpu/shader.ts";
import { loadShaders } from "../gpu/shader_source.ts";
import type { Cut } from "../graph/cut.ts";
import {
  checkStorage,
  type Holder,
  hostCopy,
  type Result,
  type Scalars,
  type StateSlice,
  type Storage,
} from "../graph/leaf.ts";
import type { Node } from "../graph/node.ts";
import type { Plan } from "../schedule/plan.ts";
import { schedule } from "../schedule/schedule.ts";
import type { Choices } from "../schedule/select.ts";
import { cutKey } from "../schedule/work_graph.ts";
import type { Backend, Run } from "./backend.ts";
import type { GpuInit } from "./gpu_init.ts";
import { GpuResults } from "./gpu_results.ts";
import { type Devices, type Prepared, prepare, runLeaves } from "./prepared.ts";
import { type Profile, Tally, timedRounds } from "./tally.ts";
import type { Records } from "./tuning/records.ts";
import { openStore, type TuningStore } from "./tuning/store.ts";
import { Tuner } from "./tuning/tuner.ts";

interface StateMemory {
  readonly buffer: DeviceBuffer;
  /** Moves whenever the contents change. */
  version: number;
}

/** Counts that tests and reports ask for. */
export interface GpuStats {
  readonly buffers: number;
  readonly bufferBytes: number;
  readonly slotBytes: number;
  readonly bindGroups: number;
  readonly pipelines: number;
  readonly dispatches: number;
  readonly submits: number;
  readonly plans: number;
}

/** What the host does for a run, as traces show it. */
export type HostPhase = "plan" | "prepare" | "submit";

/** Plans of plain loops that are kept; the least recently used one goes. */
const MAX_PLANS = 64;

export class GpuBackend implements Backend, Holder {
  closed = false;
  readonly name: string;
  readonly adapter: AdapterSummary;
  readonly gpu: Gpu;
  readonly choices: Choices = new Map();
  /** Told of each phase of a run when it ends: which, and when it began and ended by `performance.now()`. */
  onPhase: ((phase: HostPhase, from: number, to: number) => void) | null = null;
  readonly #tally = debugLevel() >= 2 ? new Tally() : null;
  readonly tuner: Tuner;
  readonly #options: GpuInit;
  readonly #devices: Devices;
  readonly #results: GpuResults;
  readonly #states = new WeakMap<Storage, StateMemory>();
  /** Frees the memory of storages that nobody can reach any more (a model that was dropped). */
  readonly #unreachable: FinalizationRegistry<DeviceBuffer>;
  readonly #plans = new Map<string, Prepared>();
  readonly #compiled = new WeakMap<Cut, Prepared>();
  /** The compiled plan that ran last. */
  readonly #ran = new WeakSet<Prepared>();
  #last: Prepared | null = null;
  readonly #compiledPlans = new Set<WeakRef<Prepared>>();

  constructor(
    gpu: Gpu,
    sources: ReadonlyMap<string, string>,
    options: GpuInit,
    measured: { readonly store: TuningStore | null; readonly records: Records },
  ) {
    this.gpu = gpu;
    this.adapter = gpu.adapter;
    this.name = adapterName(gpu.adapter);
    this.#options = options;
    const tools = openTools(gpu, sources);
    const { buffers } = tools;
    this.#results = new GpuResults(this, gpu, buffers);
    this.#unreachable = new FinalizationRegistry((buffer) => buffers.destroy(buffer));
    this.#devices = { ...tools, state: (s) => this.#state(s).buffer };
    this.tuner = new Tuner(this.#devices, options.tune ?? "cached", measured.store, measured.records);
  }

  get bindingLimit(): number {
    return this.gpu.bindingLimit;
  }

  get stats(): GpuStats {
    const { buffers, commander, pipelines } = this.#devices;
    return {
      buffers: buffers.count,
      bufferBytes: buffers.bytes,
      slotBytes: buffers.slotBytes,
      bindGroups: commander.bindGroups,
      pipelines: pipelines.count,
      dispatches: commander.dispatches,
      submits: commander.submits,
      plans: this.#plans.size,
    };
  }

  /** Plans that are ready to run: those of plain loops, then those of compiled steps that are still held. */
  get plans(): Plan[] {
    const compiled = [...this.#compiledPlans].flatMap((r) => r.deref() ?? []);
    return [...this.#plans.values(), ...compiled].map((p) => p.plan);
  }

  /** The plan of a cut, without making it ready. */
  plan(cut: Cut): Plan {
    return this.#schedule(cut, this.choices);
  }

  #schedule(cut: Cut, choices: Choices): Plan {
    const { rewrites, hoist, reuseSlots } = this.#options;
    return schedule(cut, {
      device: this.gpu.traits,
      bindingLimit: this.bindingLimit,
      choices,
      tuned: (op, call) => this.tuner.choice(op, call),
      rewrites,
      hoist,
      reuseSlots,
      uniformSize: (shader) => shaderInfo(shader, this.#devices.pipelines.sources).size,
    });
  }

  /** The plan of a cut; what it runs is measured first where that is asked for. */
  async #planned(cut: Cut): Promise<Plan> {
    // Choices may change what is cut where, and so bring calls that the first plan did not have.
    for (let round = 0; round < 3 && this.tuner.mode === "on"; round++)
      if (!(await this.tuner.tune(this.#schedule(cut, new Map(this.choices)), this.choices))) break;
    return this.plan(cut);
  }

  async run(cut: Cut, run: Run, reuse: boolean): Promise<void> {
    this.gpu.check();
    const prepared = await this.#prepared(cut, reuse);
    if (reuse) this.#last = prepared;
    await this.#results.save(prepared);
    const began = performance.now();
    const filling = this.#fillLeaves(prepared, runLeaves(cut), run);
    this.#runHoisted(prepared);
    const { copies, offsets } = await this.#results.takeRing(prepared);
    const { commander } = this.#devices;
    if (this.#tally) {
      commander.run(filling);
      await this.#timedRun(this.#tally, prepared);
      commander.run(copies);
    } else commander.run([...filling, ...prepared.commands, ...copies]);
    this.#tell("submit", began);
    // A timed run has been waited for, and drivers compile in a plan's first: neither tells how long its work takes.
    commander.mark(this.#tally || !this.#ran.has(prepared) ? 0 : prepared.cost);
    this.#ran.add(prepared);
    for (const e of cut.effects) this.#state(e.slice.storage).version++;
    this.#results.settle(prepared, run.results, offsets);
  }

  #tell(phase: HostPhase, from: number): void {
    this.onPhase?.(phase, from, performance.now());
  }

  async #timedRun(tally: Tally, { plan, commands }: Prepared): Promise<void> {
    const ms = await this.#devices.commander.timed(commands);
    console.error(tally.add({ plan, ms }));
  }

  /**
   * Time of every step of the compiled plan that ran last, over so many rounds. The plan runs for real, on whatever its
   * leaves hold, so its effects happen. Null where none has run.
   */
  async profile(rounds: number): Promise<Profile | null> {
    const prepared = this.#last;
    return prepared && timedRounds(this.#devices.commander, prepared, rounds);
  }

  /** What the device can do at most, measured now: it takes a few seconds. */
  ceilings(): Promise<Ceilings> {
    return measureCeilings(this.gpu, this.#devices.pipelines.sources);
  }

  async #prepared(cut: Cut, reuse: boolean): Promise<Prepared> {
    if (reuse) {
      let known = this.#compiled.get(cut);
      if (!known) {
        known = await this.#make(cut);
        this.#compiled.set(cut, known);
        for (const r of this.#compiledPlans) if (!r.deref()) this.#compiledPlans.delete(r);
        this.#compiledPlans.add(new WeakRef(known));
      }
      return known;
    }
    const key = cutKey(cut, (node) => leafKey(node, cut));
    let known = this.#plans.get(key);
    if (known) this.#plans.delete(key);
    else known = await this.#make(cut);
    this.#plans.set(key, known);
    for (const [old, plan] of this.#plans) {
      if (this.#plans.size <= MAX_PLANS) break;
      this.#plans.delete(old);
      await this.#retire(plan);
    }
    return known;
  }

  async #make(cut: Cut): Promise<Prepared> {
    const began = performance.now();
    const plan = await this.#planned(cut);
    this.#tell("plan", began);
    const planned = performance.now();
    const made = await prepare(cut, plan, this.#devices);
    this.#tell("prepare", planned);
    return made;
  }

  async forget(cut: Cut): Promise<void> {
    const known = this.#compiled.get(cut);
    if (!known) return;
    this.#compiled.delete(cut);
    for (const r of this.#compiledPlans) if (r.deref() === known) this.#compiledPlans.delete(r);
    if (this.#last === known) this.#last = null;
    await this.#retire(known);
  }

  async #retire(p: Prepared): Promise<void> {
    await this.#results.save(p);
    await this.#devices.commander.drain();
    for (const b of p.owned) this.#devices.buffers.destroy(b);
  }

  /** Writes what comes from the host into the leaves, and says which copies on the device fill the others. */
  #fillLeaves(p: Prepared, sources: readonly (Result | Scalars)[], run: Run): Command[] {
    const copies: Command[] = [];
    for (const l of p.leaves) {
      const own = sources[l.index];
      const source = (run.sources.get(own) as Result | undefined) ?? own;
      if (source.kind === "scalars") {
        const data = hostArray(source.dtype, numel(source.shape));
        data.set(run.scalars.get(source) as readonly number[]);
        this.#devices.buffers.write(l.buffer, 0, data);
        continue;
      }
      if (source === l.last) continue;
      if (source.failure) throw source.failure;
      const at = this.#results.locate(source);
      if (!at) this.#devices.buffers.write(l.buffer, 0, hostCopy(source) as HostArray);
      else {
        copies.push({
          kind: "copy",
          from: at.buffer,
          fromOffset: at.offset,
          to: l.buffer,
          toOffset: 0,
          bytes: Math.ceil((numel(source.shape) * (source.dtype === "u8" ? 1 : 4)) / 4) * 4,
        });
      }
      l.last = source;
    }
    return copies;
  }

  /** Runs the hoisted part if it never ran, or if state that it read has moved. */
  #runHoisted(p: Prepared): void {
    if (p.hoisted.length === 0) return;
    const versions = p.plan.hoistedReads.map((s) => this.#state(s).version);
    if (p.versions?.every((v, i) => v === versions[i])) return;
    this.#devices.commander.run(p.hoisted);
    p.versions = versions;
  }

  #state(storage: Storage): StateMemory {
    let memory = this.#states.get(storage);
    if (!memory) {
      checkStorage(storage, this);
      storage.holder = this;
      const { buffers } = this.#devices;
      const buffer = buffers.storage(storage.label, storage.size * 4);
      if (storage.initial) buffers.write(buffer, 0, storage.initial);
      storage.initial = null;
      memory = { buffer, version: 0 };
      this.#states.set(storage, memory);
      this.#unreachable.register(storage, buffer, memory);
    }
    return memory;
  }

  read(result: Result): Promise<HostArray> {
    return this.#results.read(result);
  }

  async readState(slice: StateSlice): Promise<HostArray> {
    return this.#results.download(this.#state(slice.storage).buffer, slice.offset * 4, slice);
  }

  async writeState(slice: StateSlice, data: HostArray): Promise<void> {
    const memory = this.#state(slice.storage);
    this.#devices.buffers.write(memory.buffer, slice.offset * 4, data);
    memory.version++;
  }

  free(storages: readonly Storage[]): void {
    const gone = new Set(storages);
    const uses = (p: Prepared) => p.plan.states.some((r) => r.storage && gone.has(r.storage));
    for (const [key, p] of this.#plans) {
      if (!uses(p)) continue;
      this.#plans.delete(key);
      for (const b of p.owned)
        if (!p.outputs.some((o) => o.buffer === b && o.held?.needed)) this.#devices.buffers.destroy(b);
    }
    for (const s of storages) {
      const memory = this.#states.get(s);
      this.#states.delete(s);
      if (!memory) continue;
      this.#unreachable.unregister(memory);
      this.#devices.buffers.destroy(memory.buffer);
    }
  }

  throttle(steps: number): Promise<void> {
    return this.#devices.commander.throttle(steps);
  }

  async close(): Promise<void> {
    this.closed = true;
    const table = this.#tally?.table(this.#devices.commander.clock);
    if (table) console.error(table);
    if (!this.gpu.lost) await this.#devices.commander.drain().catch(() => {});
    this.#devices.buffers.close();
    this.gpu.close();
  }
}

/** What a leaf is, for the key of its cut: which state at which version, or which kind of input. */
function leafKey(node: Node, cut: Cut): string {
  const { source } = node;
  const type = show(node.outputs[0]);
  if (source?.kind !== "state") return `${source?.kind} ${type}`;
  const { storage, offset } = source.slice;
  return `state ${storage.id}+${offset} v${source.version - (cut.base.get(storage) as number)} ${type}`;
}

/** Opens the device and the backend on it. */
export async function openGpu(options: GpuInit): Promise<GpuBackend> {
  // Before the device, which nobody would close if they could not be had.
  const sources = options.shaders ?? (await loadShaders());
  const gpu = await openDevice(options);
  const store = options.tune === "off" ? null : await openStore(gpu.adapter, gpu.traits);
  const records = (await store?.read()) ?? new Map();
  return new GpuBackend(gpu, sources, options, { store, records });
}
