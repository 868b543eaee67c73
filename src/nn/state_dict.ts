// State dicts: loading them into modules with a report of what did not match, and taking them out as host data.

import type { HostArray } from "../core/dtype.ts";
import { DataError, UsageError } from "../core/error.ts";
import { toFloat32 } from "../core/half.ts";
import { numel, type Shape, sameShape, show } from "../core/shape.ts";
import { isHost } from "../graph/leaf.ts";
import { runtime } from "../runtime/context.ts";
import { type Buffer, Counter, type Parameter, writeTensor } from "../tensor/parameter.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Module } from "./module.ts";

/** One tensor of a weight file, as `weights.read` gives it. */
export interface StateEntry {
  readonly shape: Shape;
  readonly dtype: string;
  readonly data: ArrayLike<number> | ArrayLike<bigint>;
}

/** Names → tensors: what `weights.read` or `stateDict()` gives, or a plain object of the like. */
export type StateInput =
  | ReadonlyMap<string, Tensor | StateEntry>
  | Readonly<Record<string, Tensor | StateEntry>>;

export interface LoadOptions {
  /** Throw when a name is missing or unexpected, too; a wrong shape always throws. Default true. */
  readonly strict?: boolean;
  /** Names, or prefixes ending at a dot, that are left out on purpose: `["classifier"]`. */
  readonly except?: readonly string[];
  /** Only report what would be loaded; without `strict`, wrong shapes are reported too and not thrown. */
  readonly dryRun?: boolean;
  /** What the tensors came from, for messages. */
  readonly source?: string;
}

/** What a load did: every name that did not match. */
export interface LoadReport {
  readonly loaded: readonly string[];
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly misshaped: readonly { name: string; expected: Shape; found: Shape }[];
  /** Left out by `except`. */
  readonly excepted: readonly string[];
}

type Target = Parameter | Buffer | Counter;

const CONTAINERS = ["state_dict", "model_state_dict", "model"];

/** The entries of a Map or a plain object; throws for anything else, and for an entry that is no tensor. */
function entriesOf(dict: StateInput): [string, Tensor | StateEntry][] {
  const plain = dict && (Object.getPrototypeOf(dict) === Object.prototype || !Object.getPrototypeOf(dict));
  if (!plain && !(dict instanceof Map)) {
    const what = typeof dict === "object" ? (dict as object | null)?.constructor.name : typeof dict;
    throw new UsageError(`loadStateDict: takes a Map or an object of name → tensor, got ${what}`);
  }
  const entries = dict instanceof Map ? [...dict] : Object.entries(dict);
  for (const [name, e] of entries) {
    if (e instanceof Tensor || (e && Array.isArray(e.shape) && e.data !== undefined)) continue;
    throw new UsageError(
      `loadStateDict: ${name} must be a Tensor or { shape, dtype, data }, got ${typeof e}`,
    );
  }
  return entries;
}

/** What torch.optim.swa_utils.AveragedModel writes beside the averaged module's own tensors. */
const AVERAGED = "n_averaged";

/**
 * Names without one container level (`state_dict/…`) and without a `module.` prefix that all of them share, as
 * DataParallel and AveragedModel give them; the latter's count of averages is left out.
 */
export function stripNames(dict: StateInput): Map<string, Tensor | StateEntry> {
  let entries = entriesOf(dict);
  for (const container of CONTAINERS) {
    const inside = entries.filter(([k]) => k.startsWith(`${container}/`));
    if (inside.length === 0) continue;
    entries = inside.map(([k, v]) => [k.slice(container.length + 1), v]);
    break;
  }
  const own = entries.filter(([k]) => k !== AVERAGED);
  if (own.length > 0 && own.every(([k]) => k.startsWith("module."))) {
    entries = own.map(([k, v]) => [k.slice("module.".length), v]);
  }
  return new Map(entries);
}

const under = (name: string, except: readonly string[]) =>
  except.some((e) => name === e || name.startsWith(e.endsWith(".") ? e : `${e}.`));

/** The entries by the module's present names; throws where two old names mean one of them. */
function renamed(module: Module, dict: StateInput, source = "state dict"): Map<string, Tensor | StateEntry> {
  const from = new Map<string, string>();
  const given = new Map<string, Tensor | StateEntry>();
  const entries = stripNames(dict);
  const all = new Set(entries.keys());
  for (const [key, entry] of entries) {
    const name = module.renameKey(key, all);
    const other = from.get(name);
    if (other !== undefined)
      throw new DataError(`${source} has two tensors for ${name}: ${other} and ${key}`);
    from.set(name, key);
    given.set(name, entry);
  }
  return given;
}

export function loadState(module: Module, dict: StateInput, options: LoadOptions): LoadReport {
  const { strict = true, except = [], dryRun = false, source } = options;
  const targets = new Map<string, Target>(module.namedState());
  if (!Array.isArray(except))
    throw new UsageError(`loadStateDict: except must be a list of names, got ${JSON.stringify(except)}`);
  const given = renamed(module, dict, source);
  const matches: [string, Target, Tensor | StateEntry][] = [];
  const report = {
    loaded: [] as string[],
    missing: [] as string[],
    unexpected: [] as string[],
    misshaped: [] as { name: string; expected: Shape; found: Shape }[],
    excepted: [] as string[],
  };
  for (const [name, target] of targets) {
    const entry = given.get(name);
    if (under(name, except)) report.excepted.push(name);
    else if (!entry) {
      // Files older than batch norm's counter lack it; torchvision loads them too.
      if (!(target instanceof Counter)) report.missing.push(name);
    } else if (!sameShape(shapeOf(target), entry.shape)) {
      report.misshaped.push({ name, expected: shapeOf(target), found: entry.shape });
    } else matches.push([name, target, entry]);
  }
  for (const name of given.keys())
    if (!targets.has(name) && !under(name, except)) report.unexpected.push(name);
  if (strict) refuse(report, source);
  else if (!dryRun) refuse({ ...report, missing: [], unexpected: [] }, source);
  const copies = matches.map(([name, target, entry]) => copyInto(name, target, entry));
  if (!dryRun) for (const copy of copies) copy();
  report.loaded.push(...matches.map(([name]) => name));
  return report;
}

const shapeOf = (t: Target): Shape => (t instanceof Counter ? [] : t.shape);

function refuse(report: LoadReport, source = "state dict"): void {
  const list = (names: readonly string[]) =>
    `${names.slice(0, 5).join(", ")}${names.length > 5 ? ` and ${names.length - 5} more` : ""}`;
  const parts: string[] = [];
  if (report.missing.length > 0) parts.push(`missing ${list(report.missing)}`);
  if (report.unexpected.length > 0) parts.push(`unexpected ${list(report.unexpected)}`);
  if (report.misshaped.length > 0) {
    const shapes = report.misshaped.map(
      (m) => `${m.name} (has [${m.found}], the model wants [${m.expected}])`,
    );
    parts.push(`wrong shape ${list(shapes)}`);
  }
  if (parts.length > 0) throw new DataError(`${source} does not fit the model: ${parts.join("; ")}`);
}

/** The entry's elements, where the host has them: those of a file, or of a tensor made from host data. */
function hostData(entry: Tensor | StateEntry): StateEntry | null {
  if (!(entry instanceof Tensor)) return entry;
  const location = entry.variable.result?.location;
  return isHost(location) ? { shape: entry.shape, dtype: entry.dtype, data: location.data } : null;
}

/** Checks an entry and returns what copies it, so that nothing is copied when one of them does not fit. */
function copyInto(name: string, target: Target, entry: Tensor | StateEntry): () => void {
  const host = hostData(entry);
  const onDevice = () =>
    new DataError(
      `loadStateDict: ${name} is ${show(entry as Tensor)} on the device; only f32 tensors are copied there, read it first`,
    );
  if (target instanceof Counter) {
    if (!host) throw onDevice();
    return () => {
      target.value = Number(host.data[0]);
    };
  }
  if (entry instanceof Tensor && entry.dtype === "f32") {
    const slice = target.variable.state;
    if (!slice || entry === target) return () => {};
    const { value } = entry.variable;
    return () => runtime().assign(slice, value);
  }
  // Bits of another type must not be taken for f32: converted on the host.
  if (!host) throw onDevice();
  if (host.data.length !== numel(target.shape))
    throw new DataError(
      `loadStateDict: ${name} has ${host.data.length} elements for the shape [${host.shape}]`,
    );
  return () => writeTensor(target, toFloat32(host));
}

/** Host data of a whole module by state-dict name, counters as int64: what weight files hold. */
export async function exportState(
  module: Module,
): Promise<Map<string, { shape: Shape; dtype: string; data: HostArray | BigInt64Array }>> {
  const out = new Map<string, { shape: Shape; dtype: string; data: HostArray | BigInt64Array }>();
  for (const [name, m] of module.namedState()) {
    if (m instanceof Counter)
      out.set(name, { shape: [], dtype: "i64", data: BigInt64Array.of(BigInt(m.value)) });
    else out.set(name, { shape: m.shape, dtype: m.dtype, data: await m.data() });
  }
  return out;
}
