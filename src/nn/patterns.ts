// Parameters by pattern, as torchvision's users write them: a dotted name of a module or parameter, with `*` and `?` as
// wildcards, or `name[from:to]` for a range of a module's children.

import { nearest, UsageError } from "../core/error.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Module } from "./module.ts";

/**
 * Parameters that fit one of the patterns, each once, in the module's order: `layer4` and `features.denseblock4` with
 * all below, `*.bn?.weight`, `features[:-2]`. For optimizers: `new Adam([{ params: matching(net, "layer4"), lr: 1e-4 },
 * { params: matching(net, "fc") }])`. Throws a UsageError for a pattern that fits nothing.
 */
export function matching(module: Module, ...patterns: readonly string[]): Parameter[] {
  const name = module.constructor.name;
  const found = new Set(patterns.flatMap((p) => namesMatching(module, p, "matching", name)));
  return [...module.namedParameters()].filter(([n]) => found.has(n)).map(([, p]) => p);
}

/** Names of the parameters that fit. `what` and `whose` are for the message when there are none. */
export function namesMatching(module: Module, pattern: string, what: string, whose: string): string[] {
  const names = [...module.namedParameters()].map(([name]) => name);
  const range = /^(.*)\[(-?\d*):(-?\d*)\]$/.exec(pattern);
  const tests = range ? childrenIn(module, range, `${what} ${pattern}: ${whose}`) : [globOf(pattern)];
  const found = names.filter((name) => prefixesOf(name).some((p) => tests.some((t) => t.test(p))));
  if (found.length > 0) return found;
  const near = nearest(pattern, new Set(names.flatMap(prefixesOf)));
  throw new UsageError(
    `${what} ${pattern} fits no parameter of ${whose}${near ? `; did you mean ${near}?` : ""}`,
  );
}

/** `features[:-2]`: the children of a module by position. */
function childrenIn(module: Module, [, path, from, to]: RegExpExecArray, whose: string): RegExp[] {
  const inside = [...module.namedModules()].find(([name]) => name === path)?.[1];
  if (!inside) throw new UsageError(`${whose} has no module ${path}`);
  const children = [...inside.namedChildren()].map(([name]) => (path ? `${path}.${name}` : name));
  return children.slice(from ? Number(from) : 0, to ? Number(to) : undefined).map(globOf);
}

/** "a.b.weight" → "a", "a.b", "a.b.weight". */
function prefixesOf(name: string): string[] {
  const parts = name.split(".");
  return parts.map((_, i) => parts.slice(0, i + 1).join("."));
}

/** Python's fnmatch: `*` any characters, dots included, `?` any one. */
function globOf(pattern: string): RegExp {
  const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replace(/\*/g, ".*").replace(/\?/g, ".")}$`);
}
