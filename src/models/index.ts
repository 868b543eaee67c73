// models: architectures by name, spelled as torchvision's.

import { nearest, UsageError } from "../core/error.ts";
import type { Classifier } from "./classifier.ts";
import { densenet121, densenet161, densenet169, densenet201, type ModelOptions } from "./densenet.ts";

export { type Classifier, IMAGENET, type Preprocessing } from "./classifier.ts";
export { DenseNet, type DenseNetConfig, type ModelOptions } from "./densenet.ts";
export { densenet121, densenet161, densenet169, densenet201 };

const TABLE: Readonly<Record<string, (options?: ModelOptions) => Classifier>> = {
  densenet121,
  densenet161,
  densenet169,
  densenet201,
};

/** Names of all architectures. */
export function list(): string[] {
  return Object.keys(TABLE);
}

/** An architecture by name; an unknown one throws a UsageError that suggests the nearest. */
export function create(name: string, options: ModelOptions = {}): Classifier {
  const make = TABLE[name];
  if (make) return make(options);
  const near = nearest(name, list());
  throw new UsageError(
    `there is no model called ${name}${near ? `; did you mean ${near}?` : ` (there are ${list().join(", ")})`}`,
  );
}
