// Bundles tfjs' gradients: its CommonJS build registers none, and its ES modules import without extensions, which Node
// does not resolve. The bundle carries a copy of the core, but tfjs keeps its registries and its engine in globals.
import { build } from "esbuild";

/** Writes the bundle to `file`. */
export async function bundleGradients(file) {
  await build({
    stdin: {
      contents: 'import "@tensorflow/tfjs-core/dist/register_all_gradients.js";',
      resolveDir: import.meta.dirname,
    },
    bundle: true,
    format: "esm",
    platform: "node",
    mainFields: ["module", "main"],
    outfile: file,
    logLevel: "error",
  });
}
