// A cut: the graph of one flush, complete with what it changes.

import type { Assign, Storage } from "./leaf.ts";
import type { Node, Value } from "./node.ts";

/** The structure of one flush: what it computes and what it changes. The same cut may run many times. */
export interface Cut {
  readonly roots: readonly Value[];
  readonly effects: readonly Assign[];
  /** Everything that roots and effects depend on, in order of creation. */
  readonly nodes: readonly Node[];
  /** Version of every storage that is read or changed, before the first effect. */
  readonly base: ReadonlyMap<Storage, number>;
}
