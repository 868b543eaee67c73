// From placed nodes to steps: chooses a kernel per node, binds windows of the operands' memory, and finds what is too
// large for the device.

import { numel } from "../core/shape.ts";
import type { Assign } from "../graph/leaf.ts";
import type { Node, Value } from "../graph/node.ts";
import {
  type BareCall,
  type Bound,
  type Call,
  type DeviceTraits,
  type Dispatch,
  type Operand,
  opNamed,
} from "../graph/op.ts";
import { estimate, movedBytes } from "./cost.ts";
import { isDenseView, type Loc, type Placement, type Root } from "./place.ts";
import type { CopyStep, DispatchStep, Output, Place, Range, Step } from "./plan.ts";
import { type Choices, defaultParams, select, type Tuned } from "./select.ts";
import { effectIndex } from "./state_times.ts";
import type { WorkGraph } from "./work_graph.ts";

/** Bindings begin at multiples of this (WebGPU's default minStorageBufferOffsetAlignment). */
const ALIGN = 256;

/** Work of one dispatch at most, in estimated ms. */
const DISPATCH_MS = 100;

export interface LowerOptions {
  readonly device: DeviceTraits;
  readonly bindingLimit: number;
  readonly choices: Choices;
  /** What was measured to be best. */
  readonly tuned?: Tuned;
  readonly frozen: ReadonlySet<Node>;
  /** Forces a kernel and parameters, for tests and tuning. */
  readonly force?: { readonly kernel: string; readonly params: Call["params"] };
}

/** A node that the device cannot run whole: into how many parts it should be cut, and which operands are too large. */
export interface TooLarge {
  readonly node: Node;
  readonly parts: number;
  /** Operands beyond the binding limit. */
  readonly values: readonly Value[];
  /** It cannot run at all as it is; otherwise it only takes long. */
  readonly hard: boolean;
}

export interface Lowered {
  readonly hoisted: Step[];
  readonly steps: Step[];
  readonly tooLarge: TooLarge[];
}

const placeOf = ({ site }: Node): Place => ({ layer: site.layer?.path ?? "", phase: site.phase });

const bytesOf = (v: Value) => (v.dtype === "u8" ? 1 : 4);

/** Bindings and copies go by words; u8 tensors need not. */
const wholeWords = (bytes: number) => Math.ceil(bytes / 4) * 4;

/** Bytes a value spans from its first element to its last. */
function spanBytes(v: Value, view: { batchStride: number }): number {
  const row = v.shape.length === 0 ? 1 : numel(v.shape.slice(1));
  const rows = v.shape.length === 0 ? 1 : v.shape[0];
  return rows === 0 ? 0 : ((rows - 1) * view.batchStride + row) * bytesOf(v);
}

interface Window {
  readonly range: Range;
  readonly operand: Operand;
}

function windowOf(v: Value, loc: Loc): Window {
  const start = loc.offset * bytesOf(v);
  const base = Math.floor(start / ALIGN) * ALIGN;
  const operand = {
    shape: v.shape,
    dtype: v.dtype,
    offset: (start - base) / bytesOf(v),
    batchStride: loc.batchStride,
  };
  const size = wholeWords(start - base + spanBytes(v, loc));
  return { range: { root: loc.root, offset: base, size }, operand };
}

export function lower(
  g: WorkGraph,
  placement: Placement,
  options: LowerOptions,
): Lowered & { outputs: Output[] } {
  const lowerer = new Lowerer(g, placement, options);
  const out = lowerer.run();
  return { ...out, outputs: lowerer.outputs() };
}

class Lowerer {
  readonly #g: WorkGraph;
  readonly #p: Placement;
  readonly #options: LowerOptions;
  readonly #out: Lowered = { hoisted: [], steps: [], tooLarge: [] };

  constructor(g: WorkGraph, placement: Placement, options: LowerOptions) {
    this.#g = g;
    this.#p = placement;
    this.#options = options;
  }

  run(): Lowered {
    const effects = this.#g.effects
      .map((e) => ({ e, at: effectIndex(this.#g, e) }))
      .sort((a, b) => a.at - b.at || a.e.version - b.e.version);
    let next = 0;
    for (let i = 0; i <= this.#g.nodes.length; i++) {
      while (next < effects.length && effects[next].at <= i) this.#effect(effects[next++].e);
      if (i < this.#g.nodes.length) this.#node(this.#g.nodes[i]);
    }
    return this.#out;
  }

  /** Results lie in memory of their own: what does not (views, state, hoisted values) is copied at the end. */
  outputs(): Output[] {
    return this.#g.roots.map((value) => {
      const loc = this.#loc(value);
      const own =
        loc.root.kind === "output" &&
        loc.offset === 0 &&
        loc.root.elements === numel(value.shape) &&
        isDenseView(value, loc);
      if (own) return { value, range: windowOf(value, loc).range };
      const root: Root = {
        kind: "output",
        label: "result",
        dtype: value.dtype,
        elements: numel(value.shape),
        storage: null,
        source: null,
      };
      const to: Loc = {
        root,
        offset: 0,
        batchStride: value.shape.length === 0 ? 1 : numel(value.shape.slice(1)),
      };
      this.#copyValue(value, loc, to, null);
      return { value, range: windowOf(value, to).range };
    });
  }

  #emit(node: Node, ...steps: Step[]): void {
    (this.#options.frozen.has(node) ? this.#out.hoisted : this.#out.steps).push(...steps);
  }

  #node(node: Node): void {
    // Nothing is to be computed for outputs without elements, and a kernel need not be right for them.
    if (node.outputs.every((v) => numel(v.shape) === 0)) return;
    if (!node.op || this.#p.views.has(node) || this.#joinByCopies(node)) return;
    const inputs = node.inputs.map((v) => windowOf(v, this.#loc(v)));
    const outputs = node.outputs.map((v) => windowOf(v, this.#loc(v)));
    for (const pair of this.#p.inPlace.get(node) ?? []) {
      if (pair.copyFirst)
        this.#copyValue(
          node.inputs[pair.input],
          this.#loc(node.inputs[pair.input]),
          this.#loc(node.outputs[pair.output]),
          node,
        );
    }
    const bare = {
      inputs: inputs.map((w) => w.operand),
      outputs: outputs.map((w) => w.operand),
      attrs: node.attrs,
      device: this.#options.device,
    };
    const { kernel, params } = this.#kernel(node, bare);
    const call: Call = { ...bare, params };
    const scratch = this.#scratch(kernel.scratch?.(call) ?? {});
    const dispatches = kernel.dispatches(call);
    const cost = node.op.cost(node.inputs, node.outputs, node.attrs).flops / dispatches.length;
    dispatches.forEach((d, k) => {
      if (node.op?.places && this.#liesInPlace(node, k)) return;
      this.#emit(node, this.#dispatch(node, kernel.name, call, d, { inputs, outputs, scratch }, cost));
    });
  }

  /** A concat beyond the binding limit is copied together piece by piece: cutting it would leave one of its parts. */
  #joinByCopies(node: Node): boolean {
    const [y] = node.outputs;
    const at = this.#loc(y);
    if (!node.op?.places || windowOf(y, at).range.size <= this.#options.bindingLimit) return false;
    const places = node.op.places(node.inputs, { ...at, shape: y.shape, dtype: y.dtype }, node.attrs);
    places?.forEach((place, k) => {
      if (this.#liesInPlace(node, k)) return;
      const v = node.inputs[k];
      this.#copyValue(v, this.#loc(v), { root: at.root, ...place }, node);
    });
    return places !== null;
  }

  #kernel(node: Node, bare: BareCall) {
    const op = node.op as NonNullable<Node["op"]>;
    const { force } = this.#options;
    const forced = force && op.kernels.find((k) => k.name === force.kernel);
    if (force && forced) return { kernel: forced, params: force.params };
    const chosen = select(op, bare, this.#options.choices, this.#options.tuned);
    // A tile whose grid is beyond the device gives way to the baseline, which walks any size.
    const grids = chosen.kernel.dispatches({ ...bare, params: chosen.params }).flatMap((d) => d.grid);
    if (grids.every((n) => n <= this.#options.device.maxWorkgroups)) return chosen;
    return { kernel: op.kernels[0], params: defaultParams(op.kernels[0], bare) };
  }

  #loc(v: Value): Loc {
    return this.#p.locs.get(v) as Loc;
  }

  /** Whether input k of a concat already lies where the concat holds it. */
  #liesInPlace(node: Node, k: number): boolean {
    const [y] = node.outputs;
    const at = this.#loc(y);
    const places = node.op?.places?.(node.inputs, { ...at, shape: y.shape, dtype: y.dtype }, node.attrs);
    const x = this.#loc(node.inputs[k]);
    return x.root === at.root && places?.[k].offset === x.offset;
  }

  #scratch(sizes: Readonly<Record<string, number>>): Map<string, Range> {
    const out = new Map<string, Range>();
    for (const [name, elements] of Object.entries(sizes)) {
      const root: Root = { kind: "slot", label: name, dtype: "f32", elements, storage: null, source: null };
      out.set(name, { root, offset: 0, size: elements * 4 });
    }
    return out;
  }

  #dispatch(
    node: Node,
    kernel: string,
    call: Call,
    d: Dispatch,
    w: { inputs: readonly Window[]; outputs: readonly Window[]; scratch: ReadonlyMap<string, Range> },
    flops: number,
  ): DispatchStep {
    const rangeOf = (b: Bound): Range => {
      if ("in" in b) return w.inputs[b.in].range;
      return "out" in b ? w.outputs[b.out].range : (w.scratch.get(b.scratch) as Range);
    };
    const bind = Object.fromEntries(Object.entries(d.bind).map(([name, b]) => [name, rangeOf(b)]));
    const writes = Object.values(d.bind).flatMap((b) => ("in" in b ? [] : [rangeOf(b).root]));
    const reads = Object.values(d.bind).flatMap((b) => ("in" in b ? [rangeOf(b).root] : []));
    const op = node.op?.name as string;
    if (reads.some((r) => writes.includes(r)))
      throw new Error(`${op}: a dispatch would read and write one buffer (${d.shader})`);
    const scratchBytes = (name: string) => (w.scratch.get(name) as Range).size;
    const own = node.op?.kernels.find((k) => k.name === kernel);
    const bytes = movedBytes(node, own, call, d, scratchBytes);
    const bound = Object.values(bind).reduce((n, r) => n + r.size, 0);
    const cost = estimate(this.#options.device, flops, bound);
    if (node.id > 0) this.#measure(node, d, bind, cost);
    const { shader, uniforms, grid } = d;
    return {
      kind: "dispatch",
      ...placeOf(node),
      op,
      kernel,
      call,
      shader,
      specialisation: { params: d.params, types: d.types, hooks: d.hooks },
      bind,
      writes,
      uniforms,
      grid,
      flops,
      bytes,
      cost,
    };
  }

  /** Notes a dispatch beyond the binding limit, the grid or the time that one dispatch may take. */
  #measure(node: Node, d: Dispatch, bind: Readonly<Record<string, Range>>, cost: number): void {
    const { bindingLimit, device } = this.#options;
    const values: Value[] = [];
    let parts = 1;
    for (const [name, b] of Object.entries(d.bind)) {
      const over = bind[name].size / bindingLimit;
      if (over <= 1) continue;
      parts = Math.max(parts, Math.ceil(over));
      if ("in" in b) values.push(node.inputs[b.in]);
      else if ("out" in b) values.push(node.outputs[b.out]);
      else values.push(...node.outputs);
    }
    const wide = Math.max(...d.grid) / device.maxWorkgroups;
    if (wide > 1) parts = Math.max(parts, Math.ceil(wide));
    const long = cost / DISPATCH_MS;
    if (long > 1) parts = Math.max(parts, Math.ceil(long));
    const hard = values.length > 0 || wide > 1;
    if (parts > 1) this.#out.tooLarge.push({ node, parts, values, hard });
  }

  #effect(e: Assign): void {
    if (this.#p.direct.has(e)) return;
    const root = this.#p.stateRoots.get(e.slice.storage) as Root;
    const to: Loc = {
      root,
      offset: e.slice.offset,
      batchStride: e.slice.shape.length === 0 ? 1 : numel(e.slice.shape.slice(1)),
    };
    this.#copyValue(e.value, this.#loc(e.value), to, null);
  }

  /** Copies a value to another place: as bytes where it is dense, else by the copy kernel. */
  #copyValue(v: Value, from: Loc, to: Loc, node: Node | null): void {
    const steps: Step[] = [];
    if (from.root === to.root) {
      // A buffer cannot be copied onto itself: by way of a slot.
      const root: Root = {
        kind: "slot",
        label: "copy",
        dtype: v.dtype,
        elements: numel(v.shape),
        storage: null,
        source: null,
      };
      const through: Loc = {
        root,
        offset: 0,
        batchStride: v.shape.length === 0 ? 1 : numel(v.shape.slice(1)),
      };
      steps.push(...this.#copySteps(v, from, through), ...this.#copySteps(v, through, to));
    } else steps.push(...this.#copySteps(v, from, to));
    if (node) this.#emit(node, ...steps);
    else this.#out.steps.push(...steps);
  }

  #copySteps(v: Value, from: Loc, to: Loc): Step[] {
    if (isDenseView(v, from) && isDenseView(v, to)) return [copyStep(v, from, to)];
    return this.copyDispatches(v, from, to);
  }

  /** The copy op between two places, as few dispatches as the binding limit allows. */
  copyDispatches(v: Value, from: Loc, to: Loc): DispatchStep[] {
    const op = opNamed("copy");
    const perRow = 4 * Math.max(from.batchStride, to.batchStride);
    const rows = Math.max(1, Math.floor((this.#options.bindingLimit - ALIGN) / perRow));
    const steps: DispatchStep[] = [];
    for (let r = 0; r < v.shape[0]; r += rows) {
      const part: Value = { ...v, shape: [Math.min(rows, v.shape[0] - r), ...v.shape.slice(1)] };
      const at = (l: Loc): Loc => ({ ...l, offset: l.offset + r * l.batchStride });
      const [input, output] = [windowOf(part, at(from)), windowOf(part, at(to))];
      const call: Call = {
        inputs: [input.operand],
        outputs: [output.operand],
        attrs: {},
        device: this.#options.device,
        params: {},
      };
      const [d] = op.kernels[0].dispatches(call);
      const { site } = v.node;
      const node: Node = { id: 0, op, source: null, attrs: {}, inputs: [part], outputs: [part], site };
      steps.push(
        this.#dispatch(
          node,
          op.kernels[0].name,
          call,
          d,
          { inputs: [input], outputs: [output], scratch: new Map() },
          0,
        ),
      );
    }
    return steps;
  }
}

export function copyStep(v: Value, from: Loc, to: Loc): CopyStep {
  const span = spanBytes(v, { batchStride: v.shape.length === 0 ? 1 : numel(v.shape.slice(1)) });
  const size = wholeWords(span);
  const at = (l: Loc): Range => ({ root: l.root, offset: l.offset * bytesOf(v), size });
  return { kind: "copy", ...placeOf(v.node), from: at(from), to: at(to) };
}
