// models: architectures by name, spelled as torchvision's (densenet_mini is the project's own).

import { nearest, UsageError } from "../core/error.ts";
import type { Classifier } from "./classifier.ts";
import {
  densenet_mini,
  densenet121,
  densenet161,
  densenet169,
  densenet201,
  type ModelOptions,
} from "./densenet.ts";

export { type Classifier, IMAGENET, type Preprocessing } from "./classifier.ts";
export { DenseNet, type DenseNetConfig, type ModelOptions } from "./densenet.ts";
export { densenet_mini, densenet121, densenet161, densenet169, densenet201 };

const TABLE: Readonly<Record<string, (options?: ModelOptions) => Classifier>> = {
  densenet121,
  densenet161,
  densenet169,
  densenet201,
  densenet_mini,
};

/** Names of all architectures. */
export function list(): string[] {
  return Object.keys(TABLE);
}

/** Throws a UsageError for an architecture that there is not, suggesting the nearest. */
export function checkName(name: string): void {
  if (Object.hasOwn(TABLE, name)) return;
  const near = nearest(name, list());
  throw new UsageError(
    `there is no model called ${name}${near ? `; did you mean ${near}?` : ` (there are ${list().join(", ")})`}`,
  );
}

/** An architecture by name; an unknown one throws a UsageError that suggests the nearest. */
export function create(name: string, options: ModelOptions = {}): Classifier {
  checkName(name);
  return TABLE[name](options);
}
