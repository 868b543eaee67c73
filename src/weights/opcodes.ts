// The opcodes of pickle protocols 0 to 5, one row each: what it does to the machine's stack. Meaning and layout are
// those of CPython's Lib/pickletools.py.

import { addItems, appendItems, build, construct, setItems } from "./construct.ts";
import { resolveGlobal } from "./globals.ts";
import type { Machine } from "./pickle.ts";
import { float, PyDict, type PyGlobal, PyList, PySet, PyTuple, type PyValue } from "./values.ts";

type Opcode = (m: Machine) => void;

const MAX_NAME = 4096;
/** Characters of a name that are as much work as an opcode. */
const NAME_PER_STEP = 8;
const MAX_TEXT = 2 ** 28;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The bytes up to the next newline, which is consumed; at most `limit` of them. */
function line(m: Machine, limit: number): Uint8Array {
  const { bytes } = m.cursor.source;
  const from = m.cursor.at;
  const end = bytes.indexOf(10, from);
  if (end < 0 || end - from > limit) throw m.error("has a line without an end");
  const text = m.cursor.take(end - from);
  m.cursor.take(1);
  return text;
}

function name(m: Machine): string {
  return text(m, line(m, MAX_NAME));
}

function text(m: Machine, bytes: Uint8Array): string {
  if (bytes.length > MAX_TEXT) throw m.error(`holds a text of ${bytes.length} bytes; refused`);
  try {
    return utf8.decode(bytes);
  } catch {
    throw m.error("holds a text that is not UTF-8");
  }
}

/** Python 2's str: text where it is UTF-8, else bytes. */
function oldString(bytes: Uint8Array): string | Uint8Array {
  try {
    return utf8.decode(bytes.subarray(0, MAX_TEXT + 1));
  } catch {
    return bytes;
  }
}

/** A two's-complement little-endian integer of any width that weights could need. */
function long(m: Machine, bytes: Uint8Array): number | bigint {
  if (bytes.length > 1024) throw m.error(`holds an integer of ${bytes.length} bytes; refused`);
  let n = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) n = (n << 8n) | BigInt(bytes[i]);
  return plain(BigInt.asIntN(bytes.length * 8, n));
}

function plain(n: bigint): number | bigint {
  const small = Number(n);
  return Number.isSafeInteger(small) ? small : n;
}

function decimal(m: Machine, digits: string): number | bigint {
  if (!/^[+-]?\d{1,2400}$/.test(digits)) throw m.error("holds a whole number that is none");
  return plain(BigInt(digits));
}

function decimalFloat(m: Machine, digits: string): number {
  const special = /^([+-]?)(inf|nan)$/.exec(digits);
  if (special) return special[2] === "nan" ? Number.NaN : Number(`${special[1]}Infinity`);
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(digits)) throw m.error("holds a float that is none");
  return Number(digits);
}

/** The quoted text of STRING: Python 2's repr of a str. */
function quoted(m: Machine): string | Uint8Array {
  const raw = String.fromCharCode(...line(m, MAX_NAME));
  const body = /^(["'])(.*)\1\s*$/s.exec(raw)?.[2];
  if (body === undefined) throw m.error("holds a text without quotes");
  const plainText = body.replace(/\\(x[\da-f]{2}|.)/gis, (_all, c: string) => {
    if (c.length === 3) return String.fromCharCode(Number.parseInt(c.slice(1), 16));
    return { n: "\n", t: "\t", r: "\r", "0": "\0" }[c] ?? c;
  });
  return oldString(Uint8Array.from(plainText, (c) => c.charCodeAt(0)));
}

/** The text of UNICODE: raw-unicode-escape, where only \uXXXX and \UXXXXXXXX are escapes and bytes are latin-1. */
function rawUnicode(m: Machine): string {
  const raw = Array.from(line(m, 2 ** 20), (b) => String.fromCharCode(b)).join("");
  return raw.replace(/\\u([\da-f]{4})|\\U([\da-f]{8})/gi, (all, u?: string, U?: string) => {
    const code = Number.parseInt((u ?? U) as string, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : all;
  });
}

function bytesOfLength(m: Machine, n: number): Uint8Array {
  return m.cursor.take(n);
}

function tuple(m: Machine, items: PyValue[]): void {
  m.host.limits.container();
  m.push(new PyTuple(items));
}

function list(m: Machine, items: PyValue[]): void {
  m.host.limits.container();
  m.push(new PyList(items));
}

function set(m: Machine, items: PyValue[]): void {
  m.host.limits.container();
  m.push(new PySet(items));
}

function dict(m: Machine, items: PyValue[]): void {
  m.host.limits.container();
  const made = new PyDict();
  setItems(m.host, made, items);
  m.push(made);
}

function popTuple(m: Machine): readonly PyValue[] {
  const args = m.pop();
  if (!(args instanceof PyTuple)) throw m.error("passes arguments that are no tuple");
  return args.items;
}

function popName(m: Machine): string {
  const value = m.pop();
  if (typeof value !== "string" || value.length > MAX_NAME)
    throw m.error("names a class by something else than text");
  return value;
}

function global(m: Machine, module: string, member: string): void {
  m.push(named(m, module, member));
}

/** A global by name. Memoised names can be given again in three bytes, and each time they are looked through. */
function named(m: Machine, module: string, member: string): PyGlobal {
  m.host.limits.step(Math.floor((module.length + member.length) / NAME_PER_STEP));
  return resolveGlobal(m.host.source, module, member);
}

/** NEWOBJ_EX: keyword arguments become one more dict argument of the record. */
function newObjectWithKeywords(m: Machine): void {
  const keywords = m.pop();
  const args = popTuple(m);
  m.host.limits.step(args.length); // copied below
  m.push(construct(m.host, m.pop(), keywords instanceof PyDict ? [...args, keywords] : args, "new"));
}

function inst(m: Machine): void {
  const target = named(m, name(m), name(m));
  m.push(construct(m.host, target, m.popMark(), "call"));
}

function obj(m: Machine): void {
  const [target, ...args] = m.popMark();
  if (target === undefined) throw m.error("makes an object of nothing");
  m.push(construct(m.host, target, args, "call"));
}

function protocol(m: Machine): void {
  const version = m.cursor.u8();
  if (version > 5) throw m.error(`is of protocol ${version}; Thaw reads protocols 0 to 5`);
}

function extension(m: Machine): void {
  throw m.error("uses an extension code, which only the program that wrote it can resolve");
}

const ROWS: ReadonlyArray<readonly [code: string | number, Opcode]> = [
  // The stack
  ["(", (m) => m.mark()],
  ["0", (m) => m.popOrUnmark()],
  ["1", (m) => void m.popMark()],
  ["2", (m) => m.push(m.top())],
  // The memo
  ["p", (m) => m.put(Number(decimal(m, name(m))))],
  ["q", (m) => m.put(m.cursor.u8())],
  ["r", (m) => m.put(m.cursor.u32())],
  [0x94, (m) => m.memoize()],
  ["g", (m) => m.push(m.get(Number(decimal(m, name(m)))))],
  ["h", (m) => m.push(m.get(m.cursor.u8()))],
  ["j", (m) => m.push(m.get(m.cursor.u32()))],
  // Numbers
  ["N", (m) => m.push(null)],
  [0x88, (m) => m.push(true)],
  [0x89, (m) => m.push(false)],
  ["I", (m) => m.push(integerLine(m))],
  ["J", (m) => m.push(m.cursor.i32())],
  ["K", (m) => m.push(m.cursor.u8())],
  ["M", (m) => m.push(m.cursor.u16())],
  ["L", (m) => m.push(decimal(m, name(m).replace(/L$/, "")))],
  [0x8a, (m) => m.push(long(m, bytesOfLength(m, m.cursor.u8())))],
  [0x8b, (m) => m.push(long(m, bytesOfLength(m, m.cursor.u32())))],
  ["F", (m) => m.push(float(decimalFloat(m, name(m))))],
  ["G", (m) => m.push(float(m.cursor.f64big()))],
  // Text and bytes
  ["S", (m) => m.push(quoted(m))],
  ["T", (m) => m.push(oldString(bytesOfLength(m, m.cursor.u32())))],
  ["U", (m) => m.push(oldString(bytesOfLength(m, m.cursor.u8())))],
  ["V", (m) => m.push(rawUnicode(m))],
  ["X", (m) => m.push(text(m, bytesOfLength(m, m.cursor.u32())))],
  [0x8c, (m) => m.push(text(m, bytesOfLength(m, m.cursor.u8())))],
  [0x8d, (m) => m.push(text(m, bytesOfLength(m, m.cursor.size("a text's length"))))],
  ["B", (m) => m.push(bytesOfLength(m, m.cursor.u32()))],
  ["C", (m) => m.push(bytesOfLength(m, m.cursor.u8()))],
  [0x8e, (m) => m.push(bytesOfLength(m, m.cursor.size("the length of bytes")))],
  [0x96, (m) => m.push(bytesOfLength(m, m.cursor.size("the length of bytes")))],
  // Containers
  [")", (m) => tuple(m, [])],
  ["t", (m) => tuple(m, m.popMark())],
  [0x85, (m) => tuple(m, [m.pop()])],
  [0x86, (m) => tuple(m, [m.pop(), m.pop()].reverse())],
  [0x87, (m) => tuple(m, [m.pop(), m.pop(), m.pop()].reverse())],
  ["]", (m) => list(m, [])],
  ["l", (m) => list(m, m.popMark())],
  ["a", (m) => appendItems(m.host, [m.pop()], m.top())],
  ["e", (m) => appendItems(m.host, m.popMark(), m.top())],
  ["}", (m) => dict(m, [])],
  ["d", (m) => dict(m, m.popMark())],
  ["s", (m) => setItemsOf(m, [m.pop(), m.pop()].reverse())],
  ["u", (m) => setItemsOf(m, m.popMark())],
  [0x8f, (m) => set(m, [])],
  [0x90, (m) => addItems(m.host, m.popMark(), m.top())],
  [0x91, (m) => set(m, m.popMark())],
  // Classes and objects
  ["c", (m) => global(m, name(m), name(m))],
  [0x93, (m) => global(m, ...([popName(m), popName(m)].reverse() as [string, string]))],
  ["R", (m) => reduce(m, "call")],
  [0x81, (m) => reduce(m, "new")],
  [0x92, newObjectWithKeywords],
  ["i", inst],
  ["o", obj],
  ["b", buildTop],
  ["P", (m) => persistent(m, name(m))],
  ["Q", (m) => persistent(m, m.pop())],
  // Framing
  [0x80, protocol],
  [0x95, (m) => void m.cursor.size("a frame's length")],
  [0x82, extension],
  [0x83, extension],
  [0x84, extension],
];

function integerLine(m: Machine): PyValue {
  const digits = name(m);
  return digits === "01" ? true : digits === "00" ? false : decimal(m, digits);
}

function setItemsOf(m: Machine, items: PyValue[]): void {
  setItems(m.host, m.top(), items);
}

function reduce(m: Machine, how: "call" | "new"): void {
  const args = popTuple(m);
  m.push(construct(m.host, m.pop(), args, how));
}

/** A storage from outside of the pickle: an object like any other, and as many bytes of memory. */
function persistent(m: Machine, id: PyValue): void {
  m.host.limits.container();
  m.push(m.host.persistent(id));
}

function buildTop(m: Machine): void {
  const state = m.pop();
  build(m.host, m.top(), state);
}

/** The table by opcode; undefined where Python has none (and for out-of-band buffers, which no file can hold). */
export const OPCODES: ReadonlyArray<Opcode | undefined> = ROWS.reduce((table, [code, op]) => {
  table[typeof code === "number" ? code : code.charCodeAt(0)] = op;
  return table;
}, new Array<Opcode | undefined>(256).fill(undefined));
