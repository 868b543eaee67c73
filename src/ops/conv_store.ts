// What conv2d may still do with its sums before it stores them (attrs.store, in order): add a tensor of the output's
// shape, the last input, and apply activations of unary.ts. Shaders have a hook `finish` for it, which gets the value,
// its picture and its place in that picture; a kernel without that hook is right only where the list is empty.

import type { NDArray } from "../graph/array.ts";
import { opNamed } from "../graph/op.ts";
import { elementwiseRow, wgslOf } from "./elementwise.ts";
import { type Bounded, boundStep, exactly } from "./error_bound.ts";

/** Names of ops; at most one is `add`. */
export type Store = readonly string[];

/** Activations without scalars, short enough to be repeated for every value that a tile holds. */
const ACTIVATIONS: readonly string[] = ["relu", "relu6", "hardsigmoid", "hardswish", "sigmoid", "silu"];

/**
 * The list with one more op; null where that is none that the store does. With all but ReLU the loops over the tiles of a
 * k×k kernel grow so long that lavapipe does not unroll them any more and keeps the sums in memory: slower than
 * the activation by itself. 1×1 and grouped convolutions gain.
 */
export function storeAlso(store: Store, op: string, pointwiseOrGrouped: boolean): Store | null {
  const fits =
    op === "add" ? !store.includes("add") : ACTIVATIONS.includes(op) && (op === "relu" || pointwiseOrGrouped);
  return fits ? [...store, op] : null;
}

export const addsResidual = (store: Store): boolean => store.includes("add");

/** How `finish` reads the residual: in units of its binding's elements, as `at` counts them. */
export const RESIDUAL = "residual[u.r0 + n * u.rn + at]";

/** The hook `finish` for values of one or four elements. */
export function storeHooks(store: Store, vec: boolean, residual = RESIDUAL): Record<string, string> {
  if (store.length === 0) return {};
  const lines = store.map((name) => {
    if (name === "add") return `r = r + ${residual};`;
    const row = elementwiseRow(name) as NonNullable<ReturnType<typeof elementwiseRow>>;
    const wgsl = wgslOf(row, "f32");
    const [x] = row.names;
    return vec
      ? `for (var i = 0u; i < 4u; i++) { let ${x} = r[i]; r[i] = ${wgsl}; }`
      : `{ let ${x} = r; r = ${wgsl}; }`;
  });
  return { finish: `var r = v; ${lines.join(" ")} return r;` };
}

const operandsOf = <T>(name: string, y: T, residual: T | undefined): readonly T[] =>
  name === "add" ? [y, residual as T] : [y];

/** The specification: the ops' own references, one after the other. */
export function applyStore(sums: NDArray, store: Store, residual?: NDArray): NDArray {
  return store.reduce((y, name) => opNamed(name).ref(operandsOf(name, y, residual), {})[0], sums);
}

/** How far the stored value may be off where the sums may be off by `error`. */
export function storeBound(sums: Bounded, store: Store, residual?: NDArray): Float64Array {
  const other = residual && exactly(residual);
  return store.reduce((y, name) => boundStep(opNamed(name), operandsOf(name, y, other), {}), sums).error.data;
}

export const storeIsExact = (store: Store): boolean => store.every((name) => opNamed(name).exact === true);
