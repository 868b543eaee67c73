// Cuts of the running trace, and evaluating graphs over them in float64 without a backend.
import { type NDArray, ndarray } from "../../src/graph/array.ts";
import type { Cut } from "../../src/graph/cut.ts";
import { interpret } from "../../src/graph/interpret.ts";
import { isHost, type Source } from "../../src/graph/leaf.ts";
import type { Value } from "../../src/graph/node.ts";
import { runtime } from "../../src/runtime/context.ts";

/** Ends the running trace and gives its cut; nothing is computed. */
export function takeCut(): Cut {
  const trace = runtime().cut();
  if (!trace) throw new Error("the trace is empty");
  return trace.cut;
}

/** Leaves from host data and initial state; versions are not looked at, so only for cuts that read state once. */
function readLeaf(source: Source): NDArray {
  if (source.kind === "scalars") return ndarray(source.shape, source.next(), source.dtype);
  if (source.kind === "result") {
    if (!isHost(source.location)) throw new Error("only host leaves here");
    return ndarray(source.shape, source.location.data as ArrayLike<number>, source.dtype);
  }
  const { storage, offset, shape, dtype } = source.slice;
  const n = shape.reduce((a, b) => a * b, 1);
  const data = storage.initial
    ? (storage.initial as Float32Array).subarray(offset, offset + n)
    : new Float32Array(n);
  return ndarray(shape, data, dtype);
}

export function evaluate(values: readonly Value[]): NDArray[] {
  return interpret(values, readLeaf);
}
