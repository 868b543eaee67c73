// Sequential: modules one after another, numbered or named. `seq[0]`, `seq[-1]`, `seq[2] = module`, `seq.slice(0, -2)`.

import { UsageError } from "../core/error.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Module } from "./module.ts";

type Layer = Module & { forward(x: Tensor): Tensor };

/** Positions, not names: "1" is the second layer even of a slice whose first layer is called 1. */
const isIndex = (key: string | symbol): key is string => typeof key === "string" && /^-?\d+$/.test(key);

function checkLayer(name: string, layer: unknown): asserts layer is Layer {
  if (layer instanceof Module) return;
  throw new UsageError(`Sequential: layer ${name} must be a Module, got ${typeof layer}`);
}

/**
 * Modules one after another (torch.nn.Sequential). `seq[0]` and `seq[-1]` are layers by position and can be assigned;
 * a position that there is not throws a UsageError. State-dict names are those of the layers.
 */
export class Sequential extends Module {
  [index: number]: Layer;

  /**
   * Layers in order (named "0", "1", …), or one record of name → layer. Of a record, names that are whole numbers come
   * first, in ascending order: JavaScript keeps no other. Throws a UsageError for what is not a Module, or is named
   * like a property of Sequential.
   */
  constructor(...layers: readonly Layer[] | [Readonly<Record<string, Layer>>]) {
    super();
    const named =
      layers.length === 1 && !(layers[0] instanceof Module) ? (layers[0] as Record<string, Layer>) : null;
    const entries = named
      ? Object.entries(named)
      : (layers as readonly Layer[]).map((l, i) => [String(i), l] as const);
    for (const [name, layer] of entries) {
      checkLayer(name, layer);
      if (name in this) throw new UsageError(`Sequential: a layer cannot be called ${name}`);
      Object.defineProperty(this, name, {
        value: layer,
        writable: true,
        enumerable: true,
        configurable: true,
      });
    }
    // biome-ignore lint/correctness/noConstructorReturn: indexing by position goes through a proxy of its own.
    return new Proxy(this, {
      get: (target, key, receiver) => {
        if (!isIndex(key)) return Reflect.get(target, key, receiver);
        return Reflect.get(target, nameAt(target, Number(key)), receiver);
      },
      set: (target, key, value, receiver) => {
        if (!isIndex(key)) return Reflect.set(target, key, value, receiver);
        checkLayer(key, value);
        // Setting on the target passes the module's own proxy, which notes the change of structure.
        return Reflect.set(target, nameAt(target, Number(key)), value);
      },
    });
  }

  /** How many layers there are. */
  get length(): number {
    return this.children.length;
  }

  /**
   * Layers [from, to) as a Sequential of the same layers (`seq[from:to]` in PyTorch): negative ends count from the end,
   * ends beyond it are clamped. Names are kept, so state-dict names are those of the whole. Throws a UsageError for
   * ends that are not whole.
   */
  slice(from = 0, to: number = this.length): Sequential {
    if (!Number.isInteger(from) || !Number.isInteger(to))
      throw new UsageError(`Sequential: the ends of a slice must be whole numbers, got ${from} and ${to}`);
    const entries = [...this.namedChildren()].slice(from, to);
    return new Sequential(Object.fromEntries(entries) as Record<string, Layer>);
  }

  *[Symbol.iterator](): Iterator<Layer> {
    for (const child of this.children) yield child as Layer;
  }

  /** x through all layers in order. */
  forward(x: Tensor): Tensor {
    let y = x;
    for (const layer of this) y = layer.forward(y);
    return y;
  }
}

/** Name of the layer at a position. */
function nameAt(s: Sequential, index: number): string {
  const names = [...s.namedChildren()].map(([name]) => name);
  const name = names[index < 0 ? index + names.length : index];
  if (name === undefined)
    throw new UsageError(`Sequential: there is no layer ${index} among ${names.length}`);
  return name;
}
