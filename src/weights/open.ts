// From what a user passes to the bytes of a weight file and, where there are any, the files beside it: a TensorFlow.js
// model is several files.

import { UsageError } from "../core/error.ts";
import { blobFolder, blobPath, type Folder, type NamedBlob } from "./folder.ts";
import { load, pathOf, type Source, type WeightInput } from "./source.ts";

export interface Opened {
  readonly source: Source;
  /** Files beside it; null for bytes on their own. */
  readonly beside: Folder | null;
}

/** The file that `input` names or is; of a folder and of a list of files, its model.json. */
export async function open(input: WeightInput, name?: string): Promise<Opened> {
  if (typeof input === "string" || input instanceof URL) return openPath(input);
  const list = listOf(input);
  if (list) return openList(list, name);
  return { source: await load(input as Uint8Array | ArrayBuffer | Blob, name), beside: null };
}

async function openPath(given: string | URL): Promise<Opened> {
  const path = await pathOf(given, "fetch the file and pass its bytes");
  const { besideFile, isModelFolder } = await import("./folder.node.ts");
  const name = String(given);
  if (!(await isModelFolder(path))) {
    const source = await load(given);
    return { source, beside: besideFile(path, name) };
  }
  const source = await load(`${path.replace(/\/+$/, "")}/model.json`);
  return { source, beside: besideFile(`${path}/model.json`, name) };
}

/** The files of an array or a FileList, or null for anything else. */
function listOf(input: WeightInput): NamedBlob[] | null {
  const isBytes = ArrayBuffer.isView(input) || input instanceof ArrayBuffer;
  if (isBytes || typeof input !== "object" || input === null || !("length" in input)) return null;
  const files = Array.from(input as ArrayLike<NamedBlob>);
  if (files.every((file) => typeof Blob !== "undefined" && file instanceof Blob)) return files;
  throw new UsageError("weights: a list must hold files (File or Blob) and nothing else");
}

async function openList(files: readonly NamedBlob[], name?: string): Promise<Opened> {
  if (files.length === 1) return { source: await load(files[0], name), beside: null };
  const main = files.filter((file) => /(^|\/)model\.json$/.test(blobPath(file)));
  if (main.length !== 1) {
    throw new UsageError(
      `weights: of several files one must be called model.json (a TensorFlow.js model); of these ${files.length} ${main.length} are`,
    );
  }
  const prefix = blobPath(main[0]).slice(0, -"model.json".length);
  const source = await load(main[0], name);
  return { source, beside: blobFolder(source.name, files, prefix) };
}
