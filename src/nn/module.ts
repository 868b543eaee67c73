// Module: PyTorch's base class of layers and networks. Modules, Parameters and Buffers assigned to properties are its
// children, under their property names (or the names given to `named`), in order of assignment.

import type { Variable } from "../autograd/variable.ts";
import { UsageError } from "../core/error.ts";
import { checkOptions, shown } from "../core/options.ts";
import { at, siteNow } from "../graph/site.ts";
import { runtime } from "../runtime/context.ts";
import { structureChanged, structureFlipped } from "../runtime/epoch.ts";
import { tensorsIn } from "../tensor/functions.ts";
import { Buffer, Counter, Parameter } from "../tensor/parameter.ts";
import { Tensor } from "../tensor/tensor.ts";
import { ModuleLayer } from "./module_layer.ts";
import { type LoadOptions, type LoadReport, loadState, type StateInput } from "./state_dict.ts";

type Member = Module | Parameter | Buffer | Counter;

const isMember = (v: unknown): v is Member =>
  v instanceof Module || v instanceof Parameter || v instanceof Buffer || v instanceof Counter;

/**
 * Own members by state-dict name. (Not a private method: those are not found through the proxy. By descriptor: reading
 * the property "1" of a Sequential gives its layer at position 1, whatever that is called.)
 */
function* membersOf(module: Module): Iterable<[string, Member]> {
  for (const [key, { value, enumerable }] of Object.entries(Object.getOwnPropertyDescriptors(module)))
    if (enumerable && isMember(value)) yield [module.memberName(key), value];
}

function* variablesIn(value: unknown): Iterable<Variable> {
  for (const t of tensorsIn(value)) yield t.variable;
}

/**
 * What every module is seen through: `forward` runs in a scope (what it makes and does not return need not outlive a
 * step) and gives what it makes its place in the network, and a member that is set or replaced, or a mode that changes,
 * moves the structure that steps are recorded for.
 */
const handler: ProxyHandler<Module> = {
  get(target, key, receiver) {
    const value = Reflect.get(target, key, receiver);
    if (key !== "forward" || typeof value !== "function") return value;
    return (...args: unknown[]) => {
      const site = { layer: new ModuleLayer(receiver, siteNow().layer), phase: siteNow().phase };
      return runtime().scope(() => at(site, () => value.apply(receiver, args)), variablesIn);
    };
  },
  set(target, key, value, receiver) {
    if (isMember(value) || isMember(Reflect.get(target, key))) structureChanged();
    else if (key === "training" && value !== target.training) structureFlipped(target);
    return Reflect.set(target, key, value, receiver);
  },
};

/**
 * The base of layers and networks (torch.nn.Module). A subclass assigns Parameters, Buffers and Modules to properties
 * in its constructor, which are then its state, and writes `forward`.
 */
export abstract class Module {
  /** Train or eval mode; set by `train()` and `eval()`. */
  training = true;
  /** Frozen with running statistics: `train()` leaves it in eval mode until `unfreeze()`. */
  frozen = false;

  /** Takes nothing: arguments that no constructor below has taken (PyTorch's `inplace`) throw a UsageError. */
  constructor(...none: readonly never[]) {
    if (none.length > 0)
      throw new UsageError(`${new.target.name}: there is no such argument as ${shown(none[0])}`);
    // biome-ignore lint/correctness/noConstructorReturn: subclasses are built on the proxy, so every access passes it.
    return new Proxy(this, handler);
  }

  /** What the module computes; written by each. */
  abstract forward(...inputs: never[]): unknown;

  /** State-dict name of a property; the property's own name unless a subclass says otherwise. */
  memberName(property: string): string {
    return property;
  }

  /** Direct children by name. */
  *namedChildren(): Iterable<[string, Module]> {
    for (const [name, m] of membersOf(this)) if (m instanceof Module) yield [name, m];
  }

  /** Direct children. */
  get children(): Module[] {
    return [...this.namedChildren()].map(([, m]) => m);
  }

  /** This module and everything below it, with dotted names, parents first. */
  *namedModules(prefix = ""): Iterable<[string, Module]> {
    yield [prefix, this];
    for (const [name, child] of this.namedChildren())
      yield* child.namedModules(prefix ? `${prefix}.${name}` : name);
  }

  /** This module and everything below it, parents first. */
  modules(): Module[] {
    return [...this.namedModules()].map(([, m]) => m);
  }

  /** Parameters, buffers and counters below, with dotted names, in PyTorch's order; shared ones under every name. */
  *namedState(): Iterable<[string, Parameter | Buffer | Counter]> {
    for (const [path, module] of this.namedModules()) {
      for (const [name, member] of membersOf(module)) {
        if (!(member instanceof Module)) yield [path ? `${path}.${name}` : name, member];
      }
    }
  }

  /** Parameters with dotted names, each once. */
  *namedParameters(): Iterable<[string, Parameter]> {
    const seen = new Set<Parameter>();
    for (const [name, m] of this.namedState()) {
      if (!(m instanceof Parameter) || seen.has(m)) continue;
      seen.add(m);
      yield [name, m];
    }
  }

  /** Parameters here and below, each once, in PyTorch's order. */
  parameters(): Parameter[] {
    return [...this.namedParameters()].map(([, p]) => p);
  }

  /** Buffers with dotted names. */
  *namedBuffers(): Iterable<[string, Buffer]> {
    for (const [name, m] of this.namedState()) if (m instanceof Buffer) yield [name, m];
  }

  /** Sets train or eval mode here and below; frozen modules stay in eval mode. */
  train(mode = true): this {
    for (const m of this.modules()) {
      m.training = mode && !m.frozen;
    }
    return this;
  }

  /** Sets eval mode here and below. */
  eval(): this {
    return this.train(false);
  }

  /** Drops every parameter's gradient. */
  zeroGrad(): void {
    for (const p of this.parameters()) p.zeroGrad();
  }

  /** Names as torchvision's → tensors, live: counters appear as i32 tensors of their present value. */
  stateDict(): Map<string, Tensor> {
    const out = new Map<string, Tensor>();
    for (const [name, m] of this.namedState()) out.set(name, m instanceof Counter ? counterTensor(m) : m);
    return out;
  }

  /**
   * Loads tensors by name: what `weights.read` or `stateDict()` gives, or a plain object of the like. One container
   * level and a `module.` prefix are stripped, then the architecture's renames applied. Elements become f32, except on
   * the device, where only f32 tensors are copied. With `strict` (the default) missing and unexpected names throw a
   * DataError listing them; wrong shapes always do (torch.nn.Module.load_state_dict). `except` leaves names out on
   * purpose (a replaced classifier). When it throws, nothing has been loaded.
   */
  loadStateDict(dict: StateInput, options: LoadOptions = {}): LoadReport {
    checkOptions("loadStateDict", options, ["strict", "except", "dryRun", "source"]);
    return loadState(this, dict, options);
  }

  /** Old or foreign state-dict names → this architecture's, given all names of the dict; models override it. */
  renameKey(name: string, _all: ReadonlySet<string>): string {
    return name;
  }
}

function counterTensor(c: Counter): Tensor {
  const v = runtime().fromHost(Int32Array.of(c.value), { shape: [], dtype: "i32" });
  return new Tensor(v);
}
