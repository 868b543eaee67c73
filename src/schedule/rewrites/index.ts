// The named rewrites and their switches. A rewrite is on unless switched off, by its name or all at once.

import { UsageError } from "../../core/error.ts";
import type { BuildRule } from "../../graph/rule.ts";

export const REWRITES = [
  "channelSliceConcat",
  "sharedStatistics",
  "normalizeOnLoad",
  "foldBatchNorm",
] as const;

export type RewriteName = (typeof REWRITES)[number];

/** false: none; an object: those with false are off. */
export type RewriteOptions = false | Partial<Readonly<Record<RewriteName, boolean>>>;

export function isOn(options: RewriteOptions | undefined, name: RewriteName): boolean {
  if (options === false) return false;
  for (const key of Object.keys(options ?? {})) {
    if (!(REWRITES as readonly string[]).includes(key))
      throw new UsageError(`init: there is no rewrite called ${key} (there are ${REWRITES.join(", ")})`);
  }
  return options?.[name] ?? true;
}

export function buildRules(_options: RewriteOptions | undefined): readonly BuildRule[] {
  return [];
}
