// Constructors of plain Python values that checkpoints contain, each as a function of data, and the few lower-case
// callables whose "objects" may stay inert records. Tensors are in rebuild.ts, NumPy's in numpy.ts.

import { type Call, copyItems, itemsOf } from "./arguments.ts";
import type { PickleHost } from "./pickle.ts";
import { describe, PyDict, PyGlobal, PyList, PyRecord, PySet, PyTuple, type PyValue } from "./values.ts";

const dict: Call = (host, args) => copyItems(host, new PyDict(), args[0]);
const tuple: Call = (host, args) => new PyTuple(args.length ? [...itemsOf(host, args[0], "tuple")] : []);
const list: Call = (host, args) => new PyList(args.length ? [...itemsOf(host, args[0], "list")] : []);
const set: Call = (host, args) => new PySet(args.length ? [...itemsOf(host, args[0], "set")] : []);

/** Python's bytes before protocol 3: text whose code points are the bytes, "encoded" as latin-1. */
function latin1(host: PickleHost, text: PyValue | undefined, encoding: PyValue | undefined): Uint8Array {
  const known = typeof encoding === "string" && /^(latin-?1|iso-?8859-1)$/i.test(encoding);
  if (typeof text !== "string" || !known) {
    const as = typeof encoding === "string" ? encoding.slice(0, 20) : describe(encoding);
    throw host.source.error(`its pickle encodes ${describe(text)} as ${as}, not latin-1`);
  }
  host.source.spend(text.length, "a text of its pickle");
  const out = new Uint8Array(text.length);
  for (let i = 0; i < out.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 255) throw host.source.error("its pickle encodes a character as latin-1 that is none");
    out[i] = code;
  }
  return out;
}

const bytes: Call = (host, args) => {
  if (args.length === 0) return new Uint8Array(0);
  if (args[0] instanceof Uint8Array) return args[0];
  return latin1(host, args[0], args[1]);
};

/** Longer than the name of any kind of device. */
const MAX_DEVICE = 32;

/** `torch.device(kind[, index])`, as "cuda:0": one short text and a number, for a join of long texts multiplies them. */
const device: Call = (host, args) => {
  const [kind, index] = args;
  const fits = typeof kind === "string" && kind.length <= MAX_DEVICE && args.length <= 2;
  if (!fits || !(index === undefined || index === null || Number.isSafeInteger(index))) {
    throw host.source.error(
      `its pickle makes a torch.device of ${args.slice(0, 4).map(describe).join(", ")}`,
    );
  }
  return typeof index === "number" ? `${kind}:${index}` : kind;
};

const loadFromBytes: Call = (host, args) => {
  if (!(args[0] instanceof Uint8Array))
    throw host.source.error(`its pickle loads ${describe(args[0])} as a storage`);
  return host.loadFromBytes(args[0]);
};

/** `copyreg.__newobj__`: an empty object of a class. */
const newObject: Call = (host, args) => {
  const type = args[0];
  if (!(type instanceof PyGlobal)) throw host.source.error(`its pickle makes an object of ${describe(type)}`);
  // The copy is work that counts: one call of a few bytes may pass a million arguments, again and again.
  host.limits.step(args.length);
  return new PyRecord(type, args.slice(1), false);
};

/** `copyreg._reconstructor(class, base, content)`, protocols 0 and 1: an object, with the items of a dict or list. */
const reconstruct: Call = (host, args) => {
  const object = newObject(host, args.slice(0, 1)) as PyRecord;
  const content = args[2];
  if (content instanceof PyDict) copyItems(host, object.dict, content);
  else if (content instanceof PyList) {
    for (const item of itemsOf(host, content, "list")) object.list.items.push(item);
  }
  return object;
};

/** Calls understood by their full name. */
export const PLAIN_CALLS: ReadonlyMap<string, Call> = new Map<string, Call>([
  ["collections.OrderedDict", dict],
  ["collections.Counter", dict],
  ["collections.defaultdict", (host, args) => copyItems(host, new PyDict(), args[1])],
  ["collections.deque", list],
  ["builtins.dict", dict],
  ["builtins.list", list],
  ["builtins.tuple", tuple],
  ["builtins.set", set],
  ["builtins.frozenset", set],
  ["builtins.complex", (_host, args) => new PyTuple(args)],
  ["builtins.range", (_host, args) => new PyTuple(args)],
  ["builtins.xrange", (_host, args) => new PyTuple(args)],
  ["builtins.slice", (_host, args) => new PyTuple(args)],
  ["builtins.bytes", bytes],
  ["builtins.bytearray", bytes],
  ["_codecs.encode", (host, args) => latin1(host, args[0], args[1])],
  ["copyreg._reconstructor", reconstruct],
  ["copyreg.__newobj__", newObject],
  ["torch.Size", tuple],
  ["torch.device", device],
  ["torch.storage._load_from_bytes", loadFromBytes],
]);

/** Lower-case callables whose result may stay an inert record: dates, layouts, random number states. */
export const INERT_CALLS =
  /^(builtins\.object|datetime\.\w+|torch\.serialization\._get_layout|numpy\.random\.(_pickle\.)?__\w+_ctor)$/;
