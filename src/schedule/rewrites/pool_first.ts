// Rewrite "poolFirst", built: an average pool that follows a 1×1 convolution is done before it. Both are linear and the
// pool's weights sum to one, so they commute, bias included; the convolution, forward and backward, then works on the
// smaller map (a quarter of the work in DenseNet's transitions).

import { numel } from "../../core/shape.ts";
import type { Attrs } from "../../graph/node.ts";
import type { BuildRule } from "../../graph/rule.ts";

const all = (list: unknown, value: number) => (list as readonly number[]).every((v) => v === value);

const isPointwise = (w: { readonly shape: readonly number[] }, a: Attrs) =>
  w.shape[2] === 1 &&
  w.shape[3] === 1 &&
  a.groups === 1 &&
  a.prologue === "none" &&
  a.relu === false &&
  all(a.stride, 1) &&
  all(a.padding, 0);

/** Whether every window's weights sum to one: no padding is counted and no other divisor is given. */
const isMean = (a: Attrs) => a.divisor === null && a.prologue === "none" && all(a.padding, 0);

export const poolFirst: BuildRule = {
  name: "poolFirst",
  op: "avgPool2d",
  replace: ([x], attrs, { originOf, build }) => {
    const origin = originOf(x);
    if (origin?.op.name !== "conv2d" || !isMean(attrs) || !isPointwise(origin.inputs[1], origin.attrs))
      return null;
    const [input, ...rest] = origin.inputs;
    const [pooled] = build("avgPool2d", [input], attrs);
    // Adaptive pools may also enlarge: then the convolution is cheaper where it stands.
    if (numel(pooled.shape) >= numel(input.shape)) return null;
    return build("conv2d", [pooled, ...rest], origin.attrs, origin.site);
  },
};
