// The module whose forward runs, as the graph is told of it: a chain up to the outermost one, from which the dotted path
// follows. Building a graph costs one small object a call; names are looked up when a plan is made.

import type { Layer } from "../graph/site.ts";

interface Named {
  namedModules(): Iterable<[string, object]>;
}

export class ModuleLayer implements Layer {
  readonly #module: Named;
  readonly #parent: ModuleLayer | null;
  #path: string | null = null;
  #names: Map<object, string> | null = null;

  constructor(module: Named, parent: Layer | null) {
    this.#module = module;
    this.#parent = parent instanceof ModuleLayer ? parent : null;
  }

  /** The module's name below the outermost one; of one that is not below its caller, the class's name. */
  get path(): string {
    this.#path ??= this.#parent
      ? [this.#parent.path, this.#parent.#nameOf(this.#module)].filter(Boolean).join(".")
      : "";
    return this.#path;
  }

  #nameOf(child: Named): string {
    // Backwards, so that of several names the first one stays.
    this.#names ??= new Map([...this.#module.namedModules()].reverse().map(([name, m]) => [m, name]));
    return this.#names.get(child) ?? child.constructor.name;
  }
}
