// Rewrite "sharedStatistics", built: the statistics of a channel concat are the statistics of its parts side by side.
// So in a dense block the mean and variance of a feature map are computed once, however many later layers normalise it,
// and their gradients meet per channel before one pass returns them to the map.

import type { TypeOf } from "../../core/shape.ts";
import type { BuildContext, BuildRule } from "../../graph/rule.ts";

function statistics<T extends TypeOf>(x: T, context: BuildContext<T>): readonly [T, T] {
  const [mean, variance] = context.build("channelStats", [x], {});
  return [mean, variance];
}

export const sharedStatistics: BuildRule = {
  name: "sharedStatistics",
  op: "channelStats",
  share: true,
  replace: ([x], _attrs, context) => {
    const origin = context.originOf(x);
    if (origin?.op.name !== "concat" || origin.attrs.axis !== 1) return null;
    const parts = origin.inputs.map((part) => statistics(part, context));
    return [0, 1].map(
      (k) =>
        context.build(
          "concat",
          parts.map((p) => p[k]),
          { axis: 0 },
        )[0],
    );
  },
};
