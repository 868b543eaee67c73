// npm run build: what the package ships in dist/. The modules for Node mirror src/ at the same depth, so that paths from
// a file to shaders/, weights/ and package.json are the same in both; dist/browser/thaw.js is the one file for pages.

import { spawnSync } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { bundle, ROOT } from "./bundle.ts";

const dist = join(ROOT, "dist");
await rm(dist, { recursive: true, force: true });

const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
const compiled = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], {
  cwd: ROOT,
  stdio: "inherit",
});
if (compiled.status !== 0) {
  console.error("build: tsc found errors, so dist/ is not complete");
  process.exit(1);
}

const page = await bundle(join(dist, "browser"));
const kb = (n: number) => `${(n / 1000).toFixed(0)} kB`;
console.log(
  `dist/browser/thaw.js: ${kb(page.bytes)}, gzipped ${kb(page.gzipped)}, with the text of ${page.shaders} shaders`,
);
