// What a pickle's calls, object states and item assignments mean. Calls understood by name are in three tables of
// plain functions on data (calls.ts, rebuild.ts, numpy.ts); any other class becomes an inert record, and any other
// call is refused (the policy is at the head of globals.ts).

import { INERT_CALLS, PLAIN_CALLS } from "./calls.ts";
import { looksLikeClass } from "./globals.ts";
import { buildArray, buildDType, NUMPY_CALLS } from "./numpy.ts";
import type { PickleHost } from "./pickle.ts";
import { rebuildTorch } from "./rebuild.ts";
import {
  describe,
  NumpyArray,
  NumpyDType,
  PyDict,
  PyGlobal,
  PyList,
  PyRecord,
  PySet,
  type PyValue,
  TensorRef,
  UnreadableTensor,
} from "./values.ts";

/**
 * REDUCE, INST, OBJ ("call") and NEWOBJ ("new", which runs only `__new__` and so is for classes alone).
 * Throws DataError naming what the pickle wants to call where that is not data.
 */
export function construct(
  host: PickleHost,
  target: PyValue,
  args: readonly PyValue[],
  how: "call" | "new",
): PyValue {
  host.limits.container();
  if (!(target instanceof PyGlobal)) {
    throw host.source.error(`the pickle asks to call ${describe(target)}, which Thaw never does`);
  }
  const { path } = target;
  const call = PLAIN_CALLS.get(path) ?? NUMPY_CALLS.get(path);
  if (call) return call(host, args);
  const tensor = rebuildTorch(host, target, args);
  if (tensor !== undefined) return tensor;
  if (how === "new" || looksLikeClass(target) || INERT_CALLS.test(path)) {
    return new PyRecord(target, args, how === "call");
  }
  throw host.source.error(`the pickle asks to call ${path}, which Thaw never runs`);
}

/** BUILD: gives an object its state. */
export function build(host: PickleHost, object: PyValue, state: PyValue): void {
  if (object instanceof PyRecord) addState(host, object, state);
  else if (object instanceof NumpyArray) buildArray(host, object, state);
  else if (object instanceof NumpyDType) buildDType(host, object, state);
  else if (!takesAttributes(object)) {
    throw host.source.error(`its pickle gives a state to ${describe(object)}`);
  }
}

function addState(host: PickleHost, object: PyRecord, state: PyValue): void {
  // Pickles give one state, or two where a class adds its own.
  if (object.states.length >= 4)
    throw host.source.error(`its pickle gives ${describe(object)} a fifth state`);
  object.states.push(state);
}

/** Values whose attributes mean nothing here: `_metadata` of a state dict, hooks of a parameter. */
function takesAttributes(object: PyValue): boolean {
  return (
    object instanceof PyDict ||
    object instanceof PyList ||
    object instanceof PySet ||
    object instanceof TensorRef ||
    object instanceof UnreadableTensor
  );
}

/** DICT, SETITEM and SETITEMS: `flat` holds keys and values in turn. */
export function setItems(host: PickleHost, object: PyValue, flat: readonly PyValue[]): void {
  const target = object instanceof PyRecord ? object.dict : object;
  if (!(target instanceof PyDict)) throw host.source.error(`its pickle sets items of ${describe(object)}`);
  if (flat.length % 2 === 1) throw host.source.error("its pickle sets a key without a value");
  for (let i = 0; i < flat.length; i += 2) target.set(flat[i], flat[i + 1]);
}

/** APPEND and APPENDS. */
export function appendItems(host: PickleHost, items: readonly PyValue[], object: PyValue): void {
  const target = object instanceof PyRecord ? object.list : object;
  if (!(target instanceof PyList)) throw host.source.error(`its pickle appends to ${describe(object)}`);
  for (const item of items) target.items.push(item);
}

/** ADDITEMS. */
export function addItems(host: PickleHost, items: readonly PyValue[], object: PyValue): void {
  if (!(object instanceof PySet)) throw host.source.error(`its pickle adds to ${describe(object)}`);
  for (const item of items) object.items.push(item);
}
