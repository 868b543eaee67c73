// Where a node was made: inside which module, and whether forward, by backward or by an optimizer. For people only: what
// a node is does not hang on it, so it is part of neither interning nor any key, and the first who makes a node names it.

export type Phase = "forward" | "backward" | "update";

/** A module's forward as it runs. Its path is looked up when somebody asks, not while the graph is built. */
export interface Layer {
  /** Dotted name from the outermost module, "" for that one itself. */
  readonly path: string;
}

export interface Site {
  /** Null outside of every module. */
  readonly layer: Layer | null;
  readonly phase: Phase;
}

const OUTSIDE: Site = { layer: null, phase: "forward" };

let now: Site = OUTSIDE;

/** Where nodes are being made. */
export const siteNow = (): Site => now;

/** Nodes that `fn` makes are made at `site`; what an async `fn` does later is not. */
export function at<T>(site: Site, fn: () => T): T {
  const before = now;
  now = site;
  try {
    return fn();
  } finally {
    now = before;
  }
}
