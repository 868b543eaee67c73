// Options of `init` for tests: THAW_INIT (JSON) runs the same suite under other ones, such as all rewrites off or false
// limits (see scripts/test_all.ts). What a test asks for itself comes on top.
import type { InitOptions } from "../../src/index.ts";
import { isOn, type RewriteName, type RewriteOptions } from "../../src/schedule/rewrites/index.ts";

const base = JSON.parse(process.env.THAW_INIT ?? "{}") as InitOptions;

/** What either switches off is off. */
function bothRewrites(a: RewriteOptions | undefined, b: RewriteOptions | undefined): RewriteOptions {
  return a === false || b === false ? false : { ...a, ...b };
}

export function testOptions(more: InitOptions = {}): InitOptions {
  return {
    ...base,
    ...more,
    limits: { ...base.limits, ...more.limits },
    rewrites: bothRewrites(base.rewrites, more.rewrites),
  };
}

/** Whether this run has the rewrite, hoisting or the reuse of slots: tests that look for their traces skip without. */
export function has(what: RewriteName | "hoist" | "reuseSlots"): boolean {
  return what === "hoist" || what === "reuseSlots" ? base[what] !== false : isOn(base.rewrites, what);
}
