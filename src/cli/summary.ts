// thaw summary: a network's layers, output shapes and parameters, and what a freezing policy leaves to train. Nothing
// is computed, so it needs no GPU.

import { UsageError } from "../core/error.ts";
import { create } from "../models/index.ts";
import { init as nn } from "../nn/index.ts";
import { init } from "../tensor/session.ts";
import { applyPolicy, parseHead, replaceHead, summary } from "../train/index.ts";
import type { Options } from "./args.ts";
import { command } from "./command.ts";
import { table, thousands } from "./output.ts";
import { FREEZE, frozenBatchNorm } from "./shared_options.ts";

const OPTIONS = {
  ...FREEZE,
  "num-classes": { kind: "whole", value: "N", help: "outputs of the head (default 1000)" },
} as const satisfies Options;

export const modelSummary = command({
  name: "summary",
  usage: "MODEL [options]",
  about: "a network's layers, output shapes, parameters, and what is trainable",
  options: OPTIONS,
  arguments: { least: 1, most: 1 },
  async run({ values, positionals: [name], out }) {
    await init({ device: "cpu" });
    const classes = values["num-classes"] ?? 1000;
    if (values.head !== undefined) parseHead(values.head);
    const model = nn.skipInit(() => create(name, { numClasses: classes }));
    if (values.head !== undefined) replaceHead(model, values.head, classes);
    const open = values["unfrozen-blocks"];
    const freeze = values.freeze ?? [open === undefined ? "none" : "trunk"];
    applyPolicy(model, {
      freeze,
      unfrozenBlocks: open,
      frozenBatchNorm: frozenBatchNorm(values["frozen-bn"]),
    });
    const side = values["image-size"] ?? model.preprocessing.crop;
    if (side < 1) throw new UsageError(`--image-size must be a whole number of at least 1, not ${side}`);
    const { layers, parameters, trainable, buffers } = summary(model, side);
    if (out.json) for (const row of layers) out.result({ event: "layer", ...row }, "");
    const rows = layers.map((l) => [
      l.layer,
      `${l.type}${l.frozen ? " (running)" : ""}`,
      l.outputShape.join("×"),
      thousands(l.parameters),
      thousands(l.trainable),
    ]);
    const totals = { model: name, parameters, trainable, frozen: parameters - trainable, buffers };
    out.result(
      { event: "total", ...totals, input: [1, 3, side, side] },
      `${table(["layer", "type", "output shape", "parameters", "trainable"], rows)}\n\n${name}, input 1×3×${side}×${side}: ${thousands(parameters)} parameters, ${thousands(trainable)} trainable, ${thousands(parameters - trainable)} frozen; ${thousands(buffers)} numbers in buffers`,
    );
  },
});
