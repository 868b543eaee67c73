// Sequential: modules one after another, numbered or named. `seq[0]`, `seq[-1]`, `seq[2] = module`, `seq.slice(0, -2)`.

import { UsageError } from "../core/error.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Module } from "./module.ts";

type Layer = Module & { forward(x: Tensor): Tensor };

/** Properties of Module itself, which a named layer must not shadow. */
const isIndex = (key: string | symbol): key is string => typeof key === "string" && /^-?\d+$/.test(key);

export class Sequential extends Module {
  [index: number]: Layer;

  /** Layers in order (named "0", "1", …), or one record of name → layer. */
  constructor(...layers: readonly Layer[] | [Readonly<Record<string, Layer>>]) {
    super();
    const named =
      layers.length === 1 && !(layers[0] instanceof Module) ? (layers[0] as Record<string, Layer>) : null;
    const entries = named
      ? Object.entries(named)
      : (layers as readonly Layer[]).map((l, i) => [String(i), l] as const);
    for (const [name, layer] of entries) {
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
        // Setting on the target passes the module's own proxy, which notes the change of structure.
        return Reflect.set(target, nameAt(target, Number(key)), value);
      },
    });
  }

  get length(): number {
    return this.children.length;
  }

  /** Layers [from, to) as a Sequential of the same layers; negative ends count from the end. Names are kept. */
  slice(from = 0, to: number = this.length): Sequential {
    const entries = [...this.namedChildren()].slice(from, to);
    return new Sequential(Object.fromEntries(entries) as Record<string, Layer>);
  }

  *[Symbol.iterator](): Iterator<Layer> {
    for (const child of this.children) yield child as Layer;
  }

  forward(x: Tensor): Tensor {
    let y = x;
    for (const layer of this) y = layer.forward(y);
    return y;
  }
}

/** Name of the layer at a position; a number that is itself a name of a numbered Sequential is that name. */
function nameAt(s: Sequential, index: number): string {
  const names = [...s.namedChildren()].map(([name]) => name);
  const name = names[index < 0 ? index + names.length : index];
  if (name === undefined)
    throw new UsageError(`Sequential: there is no layer ${index} among ${names.length}`);
  return name;
}
