// Options of `init` for tests: THAW_INIT (JSON) runs the same suite under other ones, such as all rewrites off or false
// limits (see scripts/test_all.ts).
import type { InitOptions } from "../../src/index.ts";

export function testOptions(more: InitOptions = {}): InitOptions {
  return { ...(JSON.parse(process.env.THAW_INIT ?? "{}") as InitOptions), ...more };
}
