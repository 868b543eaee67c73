// The browser's build of the library: one ES module that carries the shaders' text and names nothing of Node.
// Used by scripts/build.ts and by the browser tests, which run just this file.

import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type Plugin, type Rolldown } from "vite";

export const ROOT = resolve(fileURLToPath(import.meta.url), "../..");

interface Manifest {
  readonly optionalDependencies: Readonly<Record<string, string>>;
}

export interface Bundle {
  readonly file: string;
  readonly bytes: number;
  readonly gzipped: number;
  readonly shaders: number;
}

/** src/gpu/shader_source.ts for a page: the texts as data, read from shaders/ when the bundle is made. */
function inlineShaders(texts: ReadonlyMap<string, string>): Plugin {
  return {
    name: "thaw:inline-shaders",
    enforce: "pre",
    load(id) {
      if (id !== join(ROOT, "src/gpu/shader_source.ts")) return null;
      const table = JSON.stringify([...texts]);
      return {
        code: `const texts = new Map(${table});\nexport const loadShaders = async () => texts;`,
        moduleType: "js",
      };
    },
  };
}

/**
 * What only Node has (`node:*`, src's `*.node.ts`, the optional packages) becomes an empty module. Thaw imports it
 * inside functions that have refused a browser before; a static import would run in the page, so it is an error.
 */
function leaveOutNode(optional: readonly string[]): Plugin {
  const empty = "\0thaw:node-only";
  return {
    name: "thaw:leave-out-node",
    enforce: "pre",
    resolveId(source, importer, { kind }) {
      if (!/^node:|\.node\.ts$/.test(source) && !optional.includes(source)) return null;
      if (kind !== "dynamic-import")
        this.error(`${importer} imports ${source} statically, which no browser can load: use await import()`);
      return empty;
    },
    load: (id) => (id === empty ? "export {};" : null),
  };
}

async function shaderTexts(): Promise<Map<string, string>> {
  const folder = join(ROOT, "shaders");
  const names = (await readdir(folder)).filter((f) => f.endsWith(".wgsl")).sort();
  const texts = await Promise.all(names.map((f) => readFile(join(folder, f), "utf8")));
  return new Map(names.map((f, i) => [f.slice(0, -5), texts[i]]));
}

/** Bundles src/index.ts into `outDir`/thaw.js. Throws when the module would import anything. */
export async function bundle(outDir: string): Promise<Bundle> {
  const texts = await shaderTexts();
  const manifest = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as Manifest;
  const optional = Object.keys(manifest.optionalDependencies);
  const result = await build({
    configFile: false,
    root: ROOT,
    publicDir: false,
    logLevel: "warn",
    plugins: [inlineShaders(texts), leaveOutNode(optional)],
    build: {
      outDir,
      emptyOutDir: false,
      target: "es2022",
      // The option below also removes white space, which this one leaves in library builds.
      minify: false,
      lib: { entry: join(ROOT, "src/index.ts"), formats: ["es"], fileName: () => "thaw.js" },
      // Class names are part of messages ("Adam: lr must be …").
      rolldownOptions: { output: { codeSplitting: false, keepNames: true, minify: true } },
    },
  });
  const chunks = ([result].flat() as Rolldown.RolldownOutput[]).flatMap((r) => r.output);
  // An inlined dynamic import is listed as one of the file itself.
  const imports = chunks.flatMap((c) =>
    c.type === "chunk" ? [...c.imports, ...c.dynamicImports].filter((f) => f !== c.fileName) : [],
  );
  if (chunks.length !== 1 || imports.length > 0)
    throw new Error(`the browser bundle must be one file without imports; it imports ${imports.join(", ")}`);
  const file = join(outDir, "thaw.js");
  const code = await readFile(file);
  return { file, bytes: code.length, gzipped: gzipSync(code).length, shaders: texts.size };
}
