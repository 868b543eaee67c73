// Build rules: an application of an op may be replaced by an equal one while the graph is built, before autograd has
// seen it. A rule sees tensors only through the context it is given, so it serves tracked and untracked ones alike.

import type { TypeOf } from "../core/shape.ts";
import type { Attrs } from "./node.ts";
import type { AnyOp } from "./op.ts";
import type { Site } from "./site.ts";

/** How a tensor was made. */
export interface Origin<T> {
  readonly op: AnyOp;
  readonly attrs: Attrs;
  readonly inputs: readonly T[];
  /** Which output of the application it is. */
  readonly index: number;
  readonly site: Site;
}

export interface BuildContext<T> {
  originOf(v: T): Origin<T> | null;
  /** `site`: whose application it is, where that is not the one that is replaced. */
  build(name: string, inputs: readonly T[], attrs: Attrs, site?: Site): readonly T[];
}

export interface BuildRule {
  readonly name: string;
  /** The op whose applications it looks at. */
  readonly op: string;
  /** Equal applications of the op are one on the tape too, so that their gradients meet. */
  readonly share?: boolean;
  /** The equal application's outputs, or null to leave it as it is. */
  replace<T extends TypeOf>(
    inputs: readonly T[],
    attrs: Attrs,
    context: BuildContext<T>,
  ): readonly T[] | null;
}
