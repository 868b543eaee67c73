// The head of a fine-tuned classifier as the command line spells it: `linear`, or `mlp:512,dropout:0.5` for
// Linear(features, 512)-ReLU-Dropout(0.5)-Linear(512, classes).

import { UsageError } from "../core/error.ts";
import { type Classifier, replaceLast } from "../models/index.ts";
import * as nn from "../nn/index.ts";

type Part = { readonly width: number } | { readonly dropout: number };

function partOf(spec: string, text: string): Part {
  const dropout = /^dropout:(.+)$/.exec(text);
  const value = Number(dropout ? dropout[1] : text);
  if (dropout && value >= 0 && value < 1) return { dropout: value };
  if (!dropout && Number.isInteger(value) && value >= 1 && value <= 65_536) return { width: value };
  throw new UsageError(
    `head ${spec}: ${text === "" ? "a part is empty" : `${text} is not a part of a head`}; write linear, or mlp: and widths and dropouts such as mlp:512,dropout:0.5`,
  );
}

/** The parts of an `mlp:` head; an empty list for `linear`. Throws UsageError for anything else. */
export function parseHead(spec: string): Part[] {
  if (spec === "linear") return [];
  const mlp = /^mlp:(.*)$/.exec(spec);
  if (!mlp)
    throw new UsageError(
      `head ${spec} is not known; write linear, or mlp: and widths and dropouts such as mlp:512,dropout:0.5`,
    );
  return mlp[1].split(",").map((part) => partOf(spec, part.trim()));
}

/**
 * A fresh head of that shape for the model, with PyTorch's initial weights. `linear` replaces the last layer only, as
 * torchvision's users do (`vgg.classifier[6] = Linear(4096, classes)`; SqueezeNet's last layer is a 1×1 convolution),
 * `mlp:` the whole classifier.
 */
export function replaceHead(model: Classifier, spec: string, numClasses: number): void {
  const parts = parseHead(spec);
  if (parts.length === 0) {
    replaceLast(model, numClasses);
    return;
  }
  let width = model.numFeatures;
  const layers = [...(model.headInput?.() ?? [])];
  for (const part of parts) {
    if ("dropout" in part) layers.push(new nn.Dropout(part.dropout));
    else {
      layers.push(new nn.Linear(width, part.width), new nn.ReLU());
      width = part.width;
    }
  }
  model.head = new nn.Sequential(...layers, new nn.Linear(width, numClasses));
}
