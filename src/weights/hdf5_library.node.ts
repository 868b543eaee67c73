// h5wasm in Node, compiled once and made anew for each file, with a limit on its memory: a damaged file may leave the C
// code's state in ruins, and WebAssembly's memory never shrinks.

import { findPackageJSON } from "node:module";
import { pathToFileURL } from "node:url";
import { messageOf, ThawError } from "../core/error.ts";
import type { Hdf5Module } from "./hdf5_library.ts";

type Imports = Record<string, Record<string, unknown>>;
type Receive = (instance: unknown, module: unknown) => void;

/** What Emscripten's modules take. */
interface FactoryOptions {
  readonly noInitialRun: boolean;
  instantiateWasm?(imports: Imports, receive: Receive): void;
}

type Factory = (options: FactoryOptions) => Promise<Hdf5Module>;

/** The WebAssembly of the library, which the first instance shows. */
interface Compiled {
  readonly factory: Factory;
  wasm: WebAssembly.Module | null;
}

let loading: Promise<Compiled> | undefined;

async function load(): Promise<Compiled> {
  try {
    const manifest = findPackageJSON("h5wasm", import.meta.url);
    if (!manifest) throw new Error("there is no such package");
    // Its public face keeps one instance for ever; this is the part that makes them.
    const url = new URL("./dist/esm/hdf5_util.js", pathToFileURL(manifest));
    const { default: factory } = (await import(/* @vite-ignore */ url.href)) as { default: Factory };
    return { factory, wasm: null };
  } catch (error) {
    loading = undefined;
    const why = messageOf(error).split("\n")[0].trim();
    throw new ThawError(
      `reading HDF5 files (Keras) needs the package h5wasm, which did not load: npm install h5wasm (${why})`,
    );
  }
}

/** A library that no file has been read with, whose memory may grow to `mostBytes`. Throws ThawError without h5wasm. */
export async function freshLibrary(mostBytes: number): Promise<Hdf5Module> {
  loading ??= load();
  const compiled = await loading;
  compiled.wasm ??= await wasmOf(compiled.factory);
  const { factory, wasm } = compiled;
  return factory({
    noInitialRun: true,
    instantiateWasm(imports, receive) {
      const grow = imports["env"]["emscripten_resize_heap"] as (bytes: number) => boolean;
      // Refused growth is a malloc that fails, which the library reports as any other error.
      const within = (bytes: number) => bytes >>> 0 <= mostBytes && grow(bytes);
      imports["env"]["emscripten_resize_heap"] = within;
      void WebAssembly.instantiate(wasm, imports as WebAssembly.Imports).then((instance) =>
        receive(instance, wasm),
      );
    },
  });
}

/**
 * The compiled library. Its bytes lie in its source as text that only it can decode, so they are seen as the first
 * instance is made of them; every other use of WebAssembly meanwhile passes through untouched.
 */
async function wasmOf(factory: Factory): Promise<WebAssembly.Module> {
  const original = WebAssembly.instantiate;
  let seen: WebAssembly.Module | null = null;
  const watching = async (source: WebAssembly.Module | BufferSource, imports?: WebAssembly.Imports) => {
    const made = await original(source as BufferSource, imports);
    if (imports && "GOT.mem" in imports && made.module) seen = made.module;
    return made;
  };
  WebAssembly.instantiate = watching as typeof WebAssembly.instantiate;
  try {
    await factory({ noInitialRun: true });
  } finally {
    WebAssembly.instantiate = original;
  }
  if (!seen) throw new ThawError("the package h5wasm is of a version that Thaw does not know; 0.10.3 is");
  return seen;
}
