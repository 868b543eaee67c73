// What all optimizers share: parameter groups, flat state, and a step that is one node per run of neighbouring
// parameters. A parameter without a gradient is skipped, decay included (PyTorch). Hyperparameters and step counts are
// read when a step runs, so a compiled step follows a changed learning rate.

import { Variable } from "../autograd/variable.ts";
import { UsageError } from "../core/error.ts";
import { checkNames, checkNumber, checkOptions, shown } from "../core/options.ts";
import { readScalars, readState, Scalars, type StateSlice, type Storage } from "../graph/leaf.ts";
import { apply } from "../graph/node.ts";
import { opNamed } from "../graph/op.ts";
import { at } from "../graph/site.ts";
import { type Arena, flatSlice, gatherLeaves, runsOf, type StateRun } from "../runtime/arena.ts";
import { runtime } from "../runtime/context.ts";
import { structureChanged } from "../runtime/epoch.ts";
import { RetraceRequest } from "../runtime/runtime.ts";
import { Parameter } from "../tensor/parameter.ts";
import { Tensor } from "../tensor/tensor.ts";

/** A group of parameters with its own hyperparameters, all of which may be changed between steps. */
export type ParamGroup<H> = { params: Parameter[] } & H;

/** Parameters, or groups of them with hyperparameters of their own. */
export type ParamsInput<H> = Iterable<Parameter> | readonly ({ params: Iterable<Parameter> } & Partial<H>)[];

/** What an optimizer keeps of one parameter. */
interface Slot {
  readonly arena: Arena;
  /** Its slice of the arena. */
  readonly place: StateSlice;
  /** Steps taken. */
  count: number;
}

export interface Update {
  /** The op that makes the step, its moments in order, and how its scalars follow from group and step count. */
  readonly op: string;
  readonly moments: readonly string[];
  readonly scalars: (count: number) => readonly number[];
}

/** Parameters that step together. */
interface Batch {
  readonly runs: readonly StateRun[];
  readonly arena: Arena;
  readonly slots: readonly Slot[];
}

/** What an optimizer knows beside the parameters themselves. */
export interface OptimizerState<H> {
  /** The optimizer's name: the state of one is not that of another. */
  readonly kind: string;
  readonly groups: readonly H[];
  /** Per parameter, in the order of the groups: step count and moments by name. */
  readonly params: readonly { step: number; moments: Readonly<Record<string, Tensor>> }[];
}

/** The same, with the moments as tensors or as host data. */
export interface OptimizerLoad<H> {
  readonly kind?: string;
  readonly groups: readonly H[];
  readonly params: readonly {
    step: number;
    moments: Readonly<Record<string, Tensor | Float32Array>>;
  }[];
}

/** Options over defaults; throws for what is no object of known options. */
export function withDefaults<H extends object>(what: string, options: Partial<H>, defaults: H): H {
  checkOptions(what, options, Object.keys(defaults));
  const given = Object.entries(options).filter(([, v]) => v !== undefined);
  return { ...defaults, ...Object.fromEntries(given) };
}

/** Groups as given: parameters alone, or records of them with hyperparameters. */
function groupsOf<H>(what: string, params: unknown): ({ params: Iterable<Parameter> } & Partial<H>)[] {
  if (typeof (params as Iterable<unknown> | null)?.[Symbol.iterator] !== "function")
    throw new UsageError(`${what}: takes Parameters, or groups { params, … }, got ${shown(params)}`);
  const list = [...(params as Iterable<unknown>)];
  if (list.length === 0) throw new UsageError(`${what}: got no parameters`);
  const isGroup = (g: unknown) => typeof g === "object" && g !== null && "params" in g;
  const groups: unknown = list.every(isGroup) ? list : [{ params: list }];
  return groups as ({ params: Iterable<Parameter> } & Partial<H>)[];
}

/** The parameters of a group; throws for what is no group. */
function parametersOf(what: string, group: { params?: unknown } | null): Parameter[] {
  const given = group?.params;
  if (given instanceof Parameter) return [given];
  if (typeof (given as Iterable<unknown> | null | undefined)?.[Symbol.iterator] !== "function")
    throw new UsageError(`${what}: a group must be { params: Parameters, … }, got ${shown(group)}`);
  const params = [...(given as Iterable<unknown>)];
  for (const p of params)
    if (!(p instanceof Parameter))
      throw new UsageError(`${what}: params must be Parameters, got ${shown(p)}`);
  return params as Parameter[];
}

/** What all optimizers share (torch.optim.Optimizer). */
export abstract class Optimizer<H extends object> {
  /** The groups, in order; their hyperparameters may be changed between steps. */
  readonly paramGroups: ParamGroup<H>[] = [];
  readonly #defaults: H;
  readonly #slots = new Map<Variable, Slot>();

  constructor(params: ParamsInput<H>, defaults: H) {
    this.#defaults = defaults;
    for (const g of groupsOf<H>(this.constructor.name, params)) this.addParamGroup(g);
  }

  /**
   * Adds a group; options it leaves out take the optimizer's. Throws a UsageError for what is no Parameter or is in a
   * group already, for unknown options, and for hyperparameters out of range.
   */
  addParamGroup(group: { params: Iterable<Parameter> | Parameter } & Partial<H>): void {
    const { name } = this.constructor;
    const params = parametersOf(name, group);
    const known = new Set(this.paramGroups.flatMap((g) => g.params));
    for (const p of params) {
      if (known.has(p)) throw new UsageError(`${name}: a parameter is in two groups`);
      known.add(p);
    }
    const { params: _params, ...own } = group;
    const full = { ...withDefaults(name, own as unknown as Partial<H>, this.#defaults), params };
    this.check(full);
    this.paramGroups.push(full);
    this.#place(params.map((p) => p.variable).filter((v) => v.requiresGrad));
    structureChanged();
  }

  /** Throws a UsageError for hyperparameters out of range. */
  protected abstract check(h: H): void;

  /** How a group's parameters are updated. */
  protected abstract update(group: ParamGroup<H>): Update;

  /** Drops all gradients (sets them to null). */
  zeroGrad(): void {
    for (const g of this.paramGroups) for (const p of g.params) p.zeroGrad();
  }

  /** Updates every parameter that has a gradient, and flushes. Resolves when at most two steps are unfinished. */
  step(): Promise<void> {
    const rt = runtime();
    for (const group of this.paramGroups) {
      for (const p of group.params) rt.noteGrad(p.variable);
      const live = group.params.map((p) => p.variable).filter((v) => v.grad !== null && v.requiresGrad);
      this.#place(live);
      const update = this.update(group);
      at({ layer: null, phase: "update" }, () => {
        for (const batch of this.#batches(live)) this.#record(update, batch);
      });
    }
    return rt.step();
  }

  /** Gives parameters that train for the first time, or that another optimizer has moved, their place in flat state. */
  #place(live: readonly Variable[]): void {
    const rt = runtime();
    const fresh = live.filter((v) => this.#slots.get(v)?.arena.values !== v.state?.storage);
    if (fresh.length === 0) return;
    if (rt.tracing) throw new RetraceRequest(() => this.#place(live));
    const before = fresh.map((v) => ({ v, slot: this.#slots.get(v) }));
    const arenas = gatherLeaves(rt, fresh, `group${this.#slots.size}.`);
    for (const { v, slot } of before) {
      const arena = arenas.get(v) as Arena;
      for (const [name, old] of slot?.arena.moments() ?? []) {
        const from = { ...(slot as Slot).place, storage: old };
        rt.assign({ ...(v.state as StateSlice), storage: arena.moment(name) }, readState(from));
      }
      this.#slots.set(v, { arena, place: v.state as StateSlice, count: slot?.count ?? 0 });
    }
    structureChanged();
  }

  /** Parameters of one arena that have taken the same number of steps, as runs of neighbours. */
  #batches(live: readonly Variable[]): Batch[] {
    const byKey = new Map<string, { arena: Arena; slots: Slot[]; slices: StateSlice[] }>();
    for (const v of live) {
      const slot = this.#slots.get(v) as Slot;
      const key = `${slot.arena.values.id}.${slot.count}`;
      const entry = byKey.get(key) ?? { arena: slot.arena, slots: [], slices: [] };
      entry.slots.push(slot);
      entry.slices.push(v.state as StateSlice);
      byKey.set(key, entry);
    }
    return [...byKey.values()].map(({ arena, slots, slices }) => ({ arena, slots, runs: runsOf(slices) }));
  }

  #record({ op, moments, scalars }: Update, { runs, arena, slots }: Batch): void {
    const rt = runtime();
    const leaf = new Scalars(`${op} scalars`, "f32", scalars(1).length, () => {
      for (const s of slots) s.count++;
      return scalars(slots[0].count);
    });
    const storages: Storage[] = [arena.values, ...moments.map((m) => arena.moment(m))];
    for (const run of runs) {
      const slices = storages.map((s) => flatSlice(s, run));
      const gradients = readState(flatSlice(arena.gradients, run));
      const inputs = [readState(slices[0]), gradients, ...slices.slice(1).map(readState), readScalars(leaf)];
      const outputs = apply(opNamed(op), inputs, {});
      slices.forEach((s, i) => {
        rt.assign(s, outputs[i]);
      });
    }
  }

  /** Hyperparameters, step counts and moments: what a checkpoint needs. Parameters never stepped have none. */
  stateDict(): OptimizerState<H> {
    const groups = this.paramGroups.map(({ params: _params, ...h }) => h as unknown as H);
    const params = this.paramGroups.flatMap((g) =>
      g.params.map((p) => {
        const slot = this.#slots.get(p.variable);
        if (!slot?.count) return { step: 0, moments: {} };
        const at = (name: string): Tensor =>
          new Tensor(new Variable(p, { state: { ...slot.place, storage: slot.arena.moment(name) } }));
        return {
          step: slot.count,
          moments: Object.fromEntries(this.update(g).moments.map((m) => [m, at(m)])),
        };
      }),
    );
    return { kind: this.constructor.name, groups, params };
  }

  /**
   * Takes over what `stateDict` gave, or the same with moments as Float32Arrays; the groups must hold as many
   * parameters of the same shapes in the same order. Throws a UsageError for the state of another optimizer, and then nothing has
   * been taken over.
   */
  loadStateDict(state: OptimizerLoad<H>): void {
    const groups = this.#checkLoad(state);
    for (const [i, g] of this.paramGroups.entries()) Object.assign(g, groups[i]);
    const params = this.paramGroups.flatMap((g) => g.params);
    this.#place(params.filter((_, i) => state.params[i].step > 0).map((p) => p.variable));
    params.forEach((p, i) => {
      const slot = this.#slots.get(p.variable);
      if (!slot) return;
      const { step, moments } = state.params[i];
      slot.count = step;
      const own = [...slot.arena.moments()].map(([name]) => name);
      for (const name of new Set([...own, ...Object.keys(moments)])) {
        const slice = { ...slot.place, storage: slot.arena.moment(name) };
        const moment = moments[name] ?? new Float32Array(p.numel);
        if (!(moment instanceof Tensor)) runtime().write(slice, moment);
        else if (moment.variable.state?.storage !== slice.storage)
          runtime().assign(slice, moment.reshape(...p.shape).variable.value);
      }
    });
  }

  /** The groups' hyperparameters; throws for a state that does not suit. */
  #checkLoad(state: OptimizerLoad<H>): H[] {
    const { name } = this.constructor;
    const params = this.paramGroups.flatMap((g) => g.params);
    if (!Array.isArray(state?.groups) || !Array.isArray(state.params))
      throw new UsageError(`${name}: takes what stateDict() gave, { groups, params }, got ${shown(state)}`);
    if (state.kind !== undefined && state.kind !== name)
      throw new UsageError(`${name}: the state is of ${state.kind}`);
    if (state.groups.length !== this.paramGroups.length || state.params.length !== params.length) {
      throw new UsageError(
        `${name}: the state is of ${state.groups.length} groups and ${state.params.length} parameters, not ${this.paramGroups.length} and ${params.length}`,
      );
    }
    const groups = this.paramGroups.map((g, i) => {
      checkNames(name, state.groups[i], Object.keys(this.#defaults));
      const full = { ...g, ...state.groups[i] };
      this.check(full);
      return full;
    });
    const known = groups.flatMap((g) => (g.params as Parameter[]).map(() => this.update(g).moments));
    params.forEach((p, i) => {
      checkNumber(name, "step", state.params[i].step, { whole: true, min: 0 });
      checkMoments(name, p, state.params[i].moments, known[i]);
    });
    return groups;
  }
}

function checkMoments(
  what: string,
  p: Parameter,
  moments: OptimizerLoad<object>["params"][number]["moments"],
  known: readonly string[],
): void {
  for (const [name, data] of Object.entries(moments)) {
    if (!known.includes(name))
      throw new UsageError(
        `${what}: the state has a moment ${name}, there are ${known.join(", ") || "none"}`,
      );
    const size = data instanceof Tensor ? data.numel : data.length;
    if (size !== p.numel)
      throw new UsageError(`${what}: moment ${name} has ${size} elements, not ${p.numel}`);
  }
}
