// thaw models: the architectures, their sizes, and which pretrained weights there are.

import { create, list } from "../models/index.ts";
import { init as nn } from "../nn/index.ts";
import { init } from "../tensor/session.ts";
import { findKnown, manifest } from "../weights/known.node.ts";
import { command } from "./command.ts";
import { table, thousands } from "./output.ts";

export const modelList = command({
  name: "models",
  usage: "[options]",
  about: "the architectures, and which pretrained weights are on this machine",
  options: {},
  arguments: { least: 0, most: 0 },
  async run({ out }) {
    await init({ device: "cpu" });
    const known = await manifest();
    const rows: (string | number)[][] = [];
    for (const name of list()) {
      const model = nn.skipInit(() => create(name));
      const parameters = model.parameters().reduce((n, p) => n + p.numel, 0);
      const { crop } = model.preprocessing;
      const entry = known.get(`${name}/imagenet`);
      const found = entry ? await findKnown(entry) : null;
      const weights = found?.present ? found.path : null;
      rows.push([
        name,
        thousands(parameters),
        `${crop}×${crop}`,
        entry ? (weights ?? `not here (${entry.file})`) : "none published",
      ]);
      if (out.json)
        out.result(
          { event: "model", name, parameters, imageSize: crop, imagenet: entry?.file ?? null, path: weights },
          "",
        );
    }
    if (!out.json) out.result({}, table(["model", "parameters", "pictures", "ImageNet weights"], rows));
  },
});
