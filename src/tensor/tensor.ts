// The user's Tensor: a handle on a Variable, with PyTorch's methods. Every method builds graph; only `data`, `item` and
// `toArray` wait for the device.

import { Variable } from "../autograd/variable.ts";
import type { DType, HostArray } from "../core/dtype.ts";
import { ShapeError, UsageError } from "../core/error.ts";
import { checkWord } from "../core/options.ts";
import {
  broadcastShapes,
  type Extents,
  listed,
  normAxes,
  normAxis,
  numel,
  type Shape,
  show,
} from "../core/shape.ts";
import type { Attrs } from "../graph/node.ts";
import { runtime } from "../runtime/context.ts";
import { structureFlipped } from "../runtime/epoch.ts";
import { backward, zeroGrad } from "../runtime/gradients.ts";
import { root, variance, vectorNorm } from "./statistics.ts";

/** Anything arithmetic takes beside a tensor. */
export type Operand = Tensor | number;

/** Numbers nested as deep as the tensor has dimensions. */
export type Nested = number | readonly Nested[];

export class Tensor {
  /** The variable behind the handle; for the library's own use. */
  readonly variable: Variable;

  constructor(variable: Variable) {
    this.variable = variable;
    variable.handle = new WeakRef(this);
  }

  /** The tensor of a variable: the same handle while the user holds it. */
  static of(variable: Variable): Tensor {
    const known = variable.handle?.deref();
    return known instanceof Tensor ? known : new Tensor(variable);
  }

  get shape(): Shape {
    return this.variable.shape;
  }

  get dtype(): DType {
    return this.variable.dtype;
  }

  get numel(): number {
    return numel(this.shape);
  }

  get requiresGrad(): boolean {
    return this.variable.requiresGrad;
  }

  /** Whether backward computes a gradient for it. Only leaves of dtype f32 can be changed. */
  set requiresGrad(on: boolean) {
    const v = this.variable;
    if (v.creator)
      throw new UsageError("requiresGrad: only leaves can be changed; use detach() to leave the graph");
    if (on && v.dtype !== "f32")
      throw new UsageError(`requiresGrad: only f32 tensors have gradients, got ${show(v)}`);
    if (v.requiresGrad !== on && v.state) structureFlipped(v);
    v.requiresGrad = on;
  }

  /** Gradient of a leaf after backward; null before. Assign null to drop it. */
  get grad(): Tensor | null {
    const { grad } = this.variable;
    return grad && Tensor.of(grad);
  }

  set grad(value: null) {
    if (value !== null) throw new UsageError("grad: can only be set to null");
    this.zeroGrad();
  }

  zeroGrad(): void {
    zeroGrad(runtime(), this.variable);
  }

  // ---- reading --------------------------------------------------------------------------------------------------

  /** The elements in row-major order: Float32Array for f32, Int32Array for i32, and so on. */
  data(): Promise<HostArray> {
    return runtime().read(this.variable);
  }

  /** The only element, as a number. */
  item(): Promise<number> {
    if (this.numel === 1) return this.data().then((data) => data[0]);
    return Promise.reject(new ShapeError(`item: ${show(this)} has ${this.numel} elements, not one`));
  }

  /** The elements as nested arrays. */
  toArray(): Promise<Nested> {
    const build = (data: HostArray, d: number, from: number): Nested => {
      if (d === this.shape.length) return data[from];
      const inner = numel(this.shape.slice(d + 1));
      return Array.from({ length: this.shape[d] }, (_, i) => build(data, d + 1, from + i * inner));
    };
    return this.data().then((data) => build(data, 0, 0));
  }

  toString(): string {
    return `Tensor ${show(this)}${this.requiresGrad ? " requiresGrad" : ""}`;
  }

  // ---- autograd -------------------------------------------------------------------------------------------------

  /**
   * Builds the gradients of this value with respect to every leaf that wants one and adds them to their `.grad`.
   * Nothing is computed until something is read or a step is taken. A tensor of several elements needs `gradient`, of
   * its own shape, alone or among the options.
   */
  backward(options: Tensor | { gradient?: Tensor; retainGraph?: boolean } = {}): void {
    const { gradient, retainGraph = false } = options instanceof Tensor ? { gradient: options } : options;
    if (gradient) sameShapes("backward", this, gradient);
    backward(runtime(), this.variable, gradient?.variable ?? null, retainGraph);
  }

  /** The same values, cut off from the graph behind them. */
  detach(): Tensor {
    const v = this.variable;
    if (v.state) return new Tensor(v.shared());
    return v.result
      ? new Tensor(new Variable(v, { result: v.result }))
      : new Tensor(runtime().adopt(new Variable(v, { value: v.value })));
  }

  /** A copy that later changes of this tensor's memory do not reach. */
  clone(): Tensor {
    return unary("copy", this);
  }

  /** Keeps a tensor made inside a module readable after the next step. */
  retain(): this {
    this.variable.internal = false;
    return this;
  }

  // ---- elementwise ----------------------------------------------------------------------------------------------

  add(other: Operand): Tensor {
    return typeof other === "number"
      ? unary("addScalar", this, { value: other })
      : binary("add", this, other);
  }

  sub(other: Operand): Tensor {
    return typeof other === "number" ? this.add(-other) : binary("sub", this, other);
  }

  mul(other: Operand): Tensor {
    return typeof other === "number"
      ? unary("mulScalar", this, { value: other })
      : binary("mul", this, other);
  }

  div(other: Operand): Tensor {
    return typeof other === "number" ? this.mul(1 / other) : binary("div", this, other);
  }

  pow(exponent: Operand): Tensor {
    return typeof exponent === "number"
      ? unary("powScalar", this, { exponent })
      : binary("pow", this, exponent);
  }

  maximum(other: Tensor): Tensor {
    return binary("maximum", this, other);
  }

  minimum(other: Tensor): Tensor {
    return binary("minimum", this, other);
  }

  /** Limits to [min, max]; a missing bound is infinite. */
  clamp(min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY): Tensor {
    return unary("clamp", this, { min, max });
  }

  neg(): Tensor {
    return unary("neg", this);
  }

  abs(): Tensor {
    return unary("abs", this);
  }

  sign(): Tensor {
    return unary("sign", this);
  }

  floor(): Tensor {
    return unary("floor", this);
  }

  ceil(): Tensor {
    return unary("ceil", this);
  }

  square(): Tensor {
    return unary("square", this);
  }

  exp(): Tensor {
    return unary("exp", this);
  }

  log(): Tensor {
    return unary("log", this);
  }

  sqrt(): Tensor {
    return unary("sqrt", this);
  }

  rsqrt(): Tensor {
    return unary("rsqrt", this);
  }

  reciprocal(): Tensor {
    return unary("reciprocal", this);
  }

  sin(): Tensor {
    return unary("sin", this);
  }

  cos(): Tensor {
    return unary("cos", this);
  }

  relu(): Tensor {
    return unary("relu", this);
  }

  relu6(): Tensor {
    return unary("relu6", this);
  }

  sigmoid(): Tensor {
    return unary("sigmoid", this);
  }

  tanh(): Tensor {
    return unary("tanh", this);
  }

  silu(): Tensor {
    return unary("silu", this);
  }

  softplus(): Tensor {
    return unary("softplus", this);
  }

  hardswish(): Tensor {
    return unary("hardswish", this);
  }

  hardsigmoid(): Tensor {
    return unary("hardsigmoid", this);
  }

  leakyRelu(negativeSlope = 0.01): Tensor {
    return unary("leakyRelu", this, { negativeSlope });
  }

  elu(alpha = 1): Tensor {
    return unary("elu", this, { alpha });
  }

  /** 0.5·x·(1 + erf(x/√2)), or its tanh approximation. */
  gelu(approximate: "none" | "tanh" = "none"): Tensor {
    checkWord("gelu", "approximate", approximate, ["none", "tanh"]);
    return unary(approximate === "tanh" ? "geluTanh" : "gelu", this);
  }

  // Comparisons give f32 tensors of 0 and 1.

  eq(other: Operand): Tensor {
    return compare("eq", this, other);
  }

  ne(other: Operand): Tensor {
    return compare("ne", this, other);
  }

  gt(other: Operand): Tensor {
    return compare("gt", this, other);
  }

  ge(other: Operand): Tensor {
    return compare("ge", this, other);
  }

  lt(other: Operand): Tensor {
    return compare("lt", this, other);
  }

  le(other: Operand): Tensor {
    return compare("le", this, other);
  }

  // ---- reductions -----------------------------------------------------------------------------------------------

  /** Sum over the axes (all of them by default). */
  sum(axes?: number | readonly number[], keepDims = false): Tensor {
    return reduce("sum", this, axes, keepDims);
  }

  mean(axes?: number | readonly number[], keepDims = false): Tensor {
    const over = normAxes(axes, this.shape.length, "mean");
    const count = over.reduce((n, a) => n * this.shape[a], 1);
    return composite(() => this.sum(over, keepDims).mul(1 / count));
  }

  /** Largest value over the axes; ties share the gradient evenly (torch.amax). */
  amax(axes?: number | readonly number[], keepDims = false): Tensor {
    return reduce("amax", this, axes, keepDims);
  }

  amin(axes?: number | readonly number[], keepDims = false): Tensor {
    return reduce("amin", this, axes, keepDims);
  }

  /** Largest value over the axes (all of them by default), as `amax`; where it stands says `argmax`. */
  max(axes?: number | readonly number[], keepDims = false): Tensor {
    return this.amax(axes, keepDims);
  }

  /** Smallest value over the axes (all of them by default), as `amin`. */
  min(axes?: number | readonly number[], keepDims = false): Tensor {
    return this.amin(axes, keepDims);
  }

  /** Variance over the axes (torch.var): Σ(x - mean)² / (n - correction), NaN for n ≤ correction. */
  var(axes?: number | readonly number[], keepDims = false, correction = 1): Tensor {
    return composite(() => variance(this, axes, keepDims, correction));
  }

  /** Root of the variance over the axes (torch.std); where that is 0, so is the gradient. */
  std(axes?: number | readonly number[], keepDims = false, correction = 1): Tensor {
    return composite(() => root(variance(this, axes, keepDims, correction)));
  }

  /** Norm over the axes (torch.linalg.vector_norm) of order p: 2, 1, or Infinity for the largest magnitude. */
  norm(p: 1 | 2 | typeof Infinity = 2, axes?: number | readonly number[], keepDims = false): Tensor {
    return composite(() => vectorNorm(this, p, axes, keepDims));
  }

  /** Position of the largest value along an axis, the first on ties; i32. */
  argmax(axis = -1, keepDims = false): Tensor {
    return unary("argmax", this, { axis: normAxis(axis, this.shape.length, "argmax"), keepDims });
  }

  softmax(axis = -1): Tensor {
    return unary("softmax", this, { axis: normAxis(axis, this.shape.length, "softmax") });
  }

  logSoftmax(axis = -1): Tensor {
    return unary("logSoftmax", this, { axis: normAxis(axis, this.shape.length, "logSoftmax") });
  }

  // ---- shape ----------------------------------------------------------------------------------------------------

  /** The same elements under another shape; one extent may be -1. */
  reshape(...shape: Extents): Tensor {
    return unary("reshape", this, { shape: listed(shape) });
  }

  /** Merges the axes from `start` to `end` into one. */
  flatten(start = 0, end = -1): Tensor {
    const rank = this.shape.length;
    if (rank === 0) return this.reshape(1);
    const [a, b] = [normAxis(start, rank, "flatten"), normAxis(end, rank, "flatten")];
    if (a > b) throw new ShapeError(`flatten: start ${start} lies behind end ${end} in ${show(this)}`);
    return this.reshape(
      ...this.shape.slice(0, a),
      numel(this.shape.slice(a, b + 1)),
      ...this.shape.slice(b + 1),
    );
  }

  /** The axes in another order. */
  permute(...axes: Extents): Tensor {
    const order = listed(axes).map((a) => normAxis(a, this.shape.length, "permute"));
    return unary("permute", this, { axes: order });
  }

  transpose(a: number, b: number): Tensor {
    const axes = this.shape.map((_, i) => i);
    const [i, j] = [normAxis(a, axes.length, "transpose"), normAxis(b, axes.length, "transpose")];
    [axes[i], axes[j]] = [j, i];
    return this.permute(...axes);
  }

  /** Broadcast to a larger shape; -1 keeps an extent. */
  expand(...shape: Extents): Tensor {
    const to = listed(shape);
    const lead = to.length - this.shape.length;
    return unary("expand", this, { shape: to.map((d, i) => (d === -1 ? this.shape[i - lead] : d)) });
  }

  /** Adds an axis of extent 1. */
  unsqueeze(axis: number): Tensor {
    const at = normAxis(axis, this.shape.length + 1, "unsqueeze");
    return this.reshape(...this.shape.slice(0, at), 1, ...this.shape.slice(at));
  }

  /** Removes one axis of extent 1, or all of them. */
  squeeze(axis?: number): Tensor {
    const at = axis === undefined ? undefined : normAxis(axis, this.shape.length, "squeeze");
    if (at !== undefined && this.shape[at] !== 1) return this;
    return this.reshape(...this.shape.filter((d, i) => (at === undefined ? d !== 1 : i !== at)));
  }

  /** Elements [from, to) along an axis; negative ends count from the end, ends beyond it are clamped (as x[from:to]). */
  slice(axis: number, from: number, to?: number): Tensor {
    const at = normAxis(axis, this.shape.length, "slice");
    // The op takes them for the schedule, which only reads from such slices; copies go by words of four bytes.
    if (this.dtype === "u8") throw new ShapeError(`slice: takes f32, i32 or u32 tensors, got ${show(this)}`);
    const extent = this.shape[at];
    const end = (v: number) => Math.min(Math.max(v < 0 ? v + extent : v, 0), extent);
    const start = end(from);
    return unary("slice", this, { axis: at, from: start, to: Math.max(start, end(to ?? extent)) });
  }

  /** Surrounds with a constant: pairs (before, after) for the last axes, the last axis first (torch's order). */
  pad(pairs: readonly number[], value = 0): Tensor {
    const rank = this.shape.length;
    if (pairs.length % 2 !== 0 || pairs.length > 2 * rank)
      throw new ShapeError(`pad: [${pairs}] does not suit ${show(this)}`);
    const side = (k: 0 | 1) => this.shape.map((_, i) => pairs[2 * (rank - 1 - i) + k] ?? 0);
    return unary("pad", this, { before: side(0), after: side(1), value });
  }

  /**
   * Matrix product (torch.matmul): [M, K]·[K, N], batches of matrices broadcast. A vector is a row on the left and a
   * column on the right, and that axis is dropped again: [K]·[K] is a tensor [].
   */
  matmul(other: Tensor): Tensor {
    return composite(() => matmul(this, other));
  }
}

/** Runs a function of the library that builds several tensors: only the one that it returns need outlive a step. */
export function composite(fn: () => Tensor): Tensor {
  return runtime().scope(fn, (t) => [t.variable]);
}

/** Applies an op to tensors and wraps its outputs. */
export function applyOp(name: string, inputs: readonly Tensor[], attrs: Attrs = {}): Tensor[] {
  const variables = runtime().apply(
    name,
    inputs.map((t) => t.variable),
    attrs,
  );
  return variables.map((v) => Tensor.of(v));
}

function unary(name: string, x: Tensor, attrs: Attrs = {}): Tensor {
  return applyOp(name, [x], attrs)[0];
}

function binary(name: string, a: Tensor, b: Tensor): Tensor {
  return applyOp(name, [a, b])[0];
}

function compare(name: string, a: Tensor, b: Operand): Tensor {
  if (typeof b !== "number") return binary(name, a, b);
  const dtype = a.dtype === "i32" ? "i32" : "f32";
  return composite(() => binary(name, a, applyOp("full", [], { shape: [], value: b, dtype })[0]));
}

function reduce(
  name: string,
  x: Tensor,
  axes: number | readonly number[] | undefined,
  keepDims: boolean,
): Tensor {
  return unary(name, x, { axes: normAxes(axes, x.shape.length, name), keepDims });
}

function sameShapes(what: string, a: Tensor, b: Tensor): void {
  if (a.shape.length !== b.shape.length || a.shape.some((d, i) => d !== b.shape[i])) {
    throw new ShapeError(`${what}: ${show(a.variable)} and ${show(b.variable)} have different shapes`);
  }
}

/** Brings both operands to matrices or batches of matrices. */
function matmul(a: Tensor, b: Tensor): Tensor {
  const [ra, rb] = [a.shape.length, b.shape.length];
  if (ra === 0 || rb === 0)
    throw new ShapeError(
      `matmul: takes vectors, matrices or batches of them, got ${show(a.variable)} and ${show(b.variable)}`,
    );
  if (ra === 1 || rb === 1) {
    const y = matmul(ra === 1 ? a.unsqueeze(0) : a, rb === 1 ? b.unsqueeze(1) : b);
    const rank = y.shape.length;
    return y.reshape(...y.shape.filter((_, i) => (ra > 1 || i !== rank - 2) && (rb > 1 || i !== rank - 1)));
  }
  const attrs = { transA: false, transB: false };
  if (ra === 2 && rb === 2) return applyOp("matmul", [a, b], attrs)[0];
  const batch = broadcastShapes([a.shape.slice(0, -2), b.shape.slice(0, -2)], "matmul");
  const flat = (t: Tensor) => {
    const own = t.shape.slice(0, -2);
    const tail = t.shape.slice(-2);
    return numel(own) === 1
      ? t.reshape(1, ...tail)
      : t.expand(...batch, ...tail).reshape(numel(batch), ...tail);
  };
  const y = applyOp("matmul", [flat(a), flat(b)], attrs)[0];
  return y.reshape(...batch, ...y.shape.slice(-2));
}
