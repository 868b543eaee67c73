// What an op is: one record per operation, holding everything there is to know about it. Kernels are plain data:
// this floor and src/ops never touch a device. Vocabulary: a *sample* is one call to test; a *call* is one node at
// lowering time with its operands placed; a *dispatch* is one run of a shader.

import type { TypeOf } from "../core/shape.ts";
import type { DeviceTraits } from "../core/traits.ts";
import type { NDArray } from "./array.ts";
import type { Attrs, Value } from "./node.ts";

export type { DeviceTraits } from "../core/traits.ts";

export type Params = Readonly<Record<string, number>>;

/** An operand as placed: where it starts in its binding and how far its rows of axis 0 lie apart, in elements. */
export interface Operand extends TypeOf {
  readonly offset: number;
  readonly batchStride: number;
}

/** A call before its kernel's parameters are chosen. */
export interface BareCall<A extends Attrs = Attrs> {
  readonly inputs: readonly Operand[];
  readonly outputs: readonly Operand[];
  readonly attrs: A;
  readonly device: DeviceTraits;
}

export interface Call<A extends Attrs = Attrs> extends BareCall<A> {
  readonly params: Params;
}

/** Which buffer a shader variable is bound to. */
export type Bound = { readonly in: number } | { readonly out: number } | { readonly scratch: string };

export interface Dispatch {
  /** File stem in shaders/. */
  readonly shader: string;
  /** Values for the `//@param` constants. */
  readonly params?: Params;
  /** Values for the `//@type` aliases. */
  readonly types?: Readonly<Record<string, string>>;
  /** Statements for the bodies of `//@hook` functions; their signatures stay as in the file. */
  readonly hooks?: Readonly<Record<string, string>>;
  /** Shader variable → buffer. */
  readonly bind: Readonly<Record<string, Bound>>;
  /** Field of the shader's `Sizes` struct → value. */
  readonly uniforms: Readonly<Record<string, number | readonly number[]>>;
  /** Workgroups; x may exceed the device's limit where the shader folds x over y (it reads num_workgroups). */
  readonly grid: readonly [number, number, number];
}

export interface Kernel<A extends Attrs = Attrs> {
  readonly name: string;
  /** Whether it is right for this call; the first kernel of an op is right for all and has none. */
  readonly when?: (call: Call<A>) => boolean;
  /**
   * How good it is expected to be for this call, higher is better; a missing one counts 0. Below 0: hopeless on a device
   * of this kind, so that the tuner does not try it.
   */
  readonly score?: (call: Call<A>) => number;
  /** Tuning space; the first point of every axis is the default. */
  readonly space?: Readonly<Record<string, readonly number[]>>;
  /** The default point for this call, where it depends on the shapes. */
  readonly pick?: (call: Call<A>) => Params;
  /** It rounds its operands to f16, so it is judged by that unit, and is right only where `device.f16` says so. */
  readonly precision?: "f16";
  /** Output o is computed in the buffer that holds input i: pairs [o, i]. */
  readonly inPlace?: readonly (readonly [number, number])[];
  /** f32 elements of each scratch buffer. */
  readonly scratch?: (call: Call<A>) => Readonly<Record<string, number>>;
  readonly dispatches: (call: Call<A>) => readonly Dispatch[];
}

/** One way to cut a node: operand axis per input and output (null: the whole operand goes to every part). */
export interface SplitAxis {
  readonly extent: number;
  readonly inputs: readonly (number | null)[];
  readonly outputs: readonly (number | null)[];
  /** Elements of an operand's axis per unit of the extent, where that is not 1 (channels of a group). */
  readonly inputUnits?: readonly number[];
  readonly outputUnits?: readonly number[];
  /** How parts become the whole: side by side, or by the op's own `merge`. */
  readonly merge: "concat" | "sum" | "custom";
  /** Parts start at multiples of this. */
  readonly multiple?: number;
  /** Attributes of the part [from, to). */
  readonly attrs?: (from: number, to: number) => Attrs;
}

export interface VjpArgs<A extends Attrs = Attrs> {
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attrs: A;
  /** Gradient of each output; null where nothing depends on it. */
  readonly gy: readonly (Value | null)[];
  /** Which inputs want a gradient: for the others return null and build nothing. */
  readonly needs: readonly boolean[];
}

/** How a sample's input is filled. */
export interface InputSpec {
  readonly shape: readonly number[];
  readonly dtype?: "f32" | "i32" | "u32" | "u8";
  /** Uniform real values in [low, high] (default [-2, 2]); whole values low…high-1 for integer dtypes. */
  readonly low?: number;
  readonly high?: number;
  /** Exactly these values. */
  readonly values?: readonly number[];
  /** Real values keep this far from each of the op's kinks and from each other where ties matter. */
  readonly distinct?: boolean;
}

export interface Sample<A extends Attrs = Attrs> {
  readonly note?: string;
  readonly inputs: readonly InputSpec[];
  readonly attrs?: A;
  /** false: not differentiable here (ties, kinks, special values), so no finite differences. */
  readonly differentiable?: boolean;
}

/** Where a dense-but-for-axis-0 view of a buffer starts and how far its rows lie apart, in elements. */
export interface View {
  readonly offset: number;
  readonly batchStride: number;
}

export interface OpSpec<A extends Attrs = Attrs> {
  readonly name: string;
  /** Output types; throws ShapeError for inputs that do not fit. */
  infer(inputs: readonly TypeOf[], attrs: A): TypeOf[];
  /** The specification: float64 loops. */
  ref(inputs: readonly NDArray[], attrs: A): NDArray[];
  /** Gradients of the inputs, as more graph. Absent: not differentiable, gradients stop here. */
  vjp?(args: VjpArgs<A>): (Value | null)[];
  /** Real inputs that have no gradient all the same, as in PyTorch: class weights. */
  readonly constant?: readonly number[];
  /** Products (or addends) summed per output element. */
  terms?(inputs: readonly TypeOf[], attrs: A): number;
  /** Only adds, multiplies, compares or moves: bit for bit equal to `ref` on small integers. */
  readonly exact?: boolean | ((attrs: A) => boolean);
  /** Whole numbers the exactness test may draw, inclusive; powers of two for divisors. */
  readonly exactRange?: readonly [number, number];
  /** Σ|aᵢbᵢ| per output element; by default `ref` on absolute values. */
  magnitude?(inputs: readonly NDArray[], attrs: A): NDArray[];
  /** Error allowed by the WGSL built-ins used, per output element. */
  builtin?(inputs: readonly NDArray[], outputs: readonly NDArray[], attrs: A): Float64Array[];
  /** Arguments at which `ref` has a kink: samples keep away from them. */
  readonly kinks?: readonly number[];
  cost(inputs: readonly TypeOf[], outputs: readonly TypeOf[], attrs: A): { flops: number };
  /** Its kernels write dense outputs only: such an output is never placed inside another buffer. */
  readonly denseOutput?: boolean;
  /** The output as a view of input 0, where nothing needs to move; null: run the kernel. */
  view?(input: Operand, output: TypeOf, attrs: A): View | null;
  /**
   * Where each input lies inside the placed output (concat), so that producers may write there; null: nowhere as one
   * view. The baseline's dispatch number k copies input k.
   */
  places?(inputs: readonly TypeOf[], output: Operand, attrs: A): readonly View[] | null;
  readonly kernels: readonly Kernel<A>[];
  readonly samples: readonly Sample<A>[];
  /** Axes along which the schedule may cut a call that is too large, best first. */
  split?(inputs: readonly TypeOf[], outputs: readonly TypeOf[], attrs: A): readonly SplitAxis[];
  /** Merges parts cut along a `custom` axis: per part its outputs and its extent on that axis. */
  mergeParts?(parts: readonly (readonly Value[])[], extents: readonly number[], attrs: A): readonly Value[];
}

/** An op with its attributes erased: what graphs and schedules handle. */
export type AnyOp = OpSpec<Attrs>;

const registry = new Map<string, AnyOp>();

/** Registers an op under its name. */
export function defineOp<A extends Attrs>(spec: OpSpec<A>): AnyOp {
  if (registry.has(spec.name)) throw new Error(`defineOp: ${spec.name} is already defined`);
  const op = spec as unknown as AnyOp;
  registry.set(spec.name, op);
  return op;
}

/** The op of that name; a missing one is a programming error. */
export function opNamed(name: string): AnyOp {
  const op = registry.get(name);
  if (!op) throw new Error(`no op is called ${name}; is its file imported by src/ops/index.ts?`);
  return op;
}

/** All ops in order of definition. */
export function allOps(): readonly AnyOp[] {
  return [...registry.values()];
}
