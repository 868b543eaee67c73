// The dense layers of a model's head: which one is replaced for other classes, which one a Flatten lies in front of.

import * as nn from "../../nn/index.ts";

interface Headed extends nn.Module {
  readonly headName: string;
}

/** The head's dense layers in order, by their state-dict prefix. */
export function denseLayers(model: Headed): [path: string, layer: nn.Linear][] {
  const out: [string, nn.Linear][] = [];
  for (const [name, m] of model.namedModules()) {
    const inHead = name === model.headName || name.startsWith(`${model.headName}.`);
    if (inHead && m instanceof nn.Linear) out.push([name, m]);
  }
  return out;
}
