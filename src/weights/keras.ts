// Keras' files: HDF5 of weights alone or of a whole model (Keras 1.2 to 3), and the zip of Keras 3 (config.json,
// metadata.json, model.weights.h5). Layouts: keras/src/legacy/saving/legacy_h5_format.py and saving/saving_lib.py.

import type { Folder } from "./folder.ts";
import { readHdf5 } from "./hdf5.ts";
import type { Hdf5File } from "./hdf5_read.ts";
import { parseJson, tryJson } from "./json.ts";
import { type FileModel, labelsOfText } from "./model_info.ts";
import type { Source } from "./source.ts";
import type { Plain, WeightEntry, Weights } from "./types.ts";

export interface KerasFile extends Hdf5File {
  readonly model: FileModel;
}

/** An HDF5 file. Its arrays come in the order of its layers where it says that, else as they lie there. */
export async function readKerasHdf5(source: Source, skipUnsupported: boolean): Promise<KerasFile> {
  const file = await readHdf5(source, skipUnsupported);
  joinChunks(file.extras);
  const version = file.extras.get("keras_version") ?? file.extras.get("model_weights/keras_version");
  return {
    tensors: inLayerOrder(file.tensors, file.extras),
    extras: file.extras,
    skipped: file.skipped,
    model: {
      config: tryJson(file.extras.get("model_config")),
      kerasVersion: typeof version === "string" ? version : null,
      labels: null,
      preprocessing: null,
    },
  };
}

/** Keras 3's archive; its arrays have the names of the HDF5 file within. */
export async function readKerasZip(
  source: Source,
  folder: Folder,
  skipUnsupported: boolean,
): Promise<KerasFile> {
  const inner = source.part(await folder.read("model.weights.h5"));
  const file = await readKerasHdf5(inner, skipUnsupported);
  const text = async (name: string) => ((await folder.size(name)) === null ? null : await folder.read(name));
  const [config, metadata] = [await text("config.json"), await text("metadata.json")];
  const model = config && parseJson(source, config, "its config.json");
  const about = metadata && parseJson(source, metadata, "its metadata.json");
  if (config) file.extras.set("model_config", new TextDecoder().decode(config));
  for (const [key, value] of Object.entries(about ?? {})) {
    if (value === null || typeof value !== "object") file.extras.set(key, value as Plain);
  }
  const version = about?.["keras_version"];
  return {
    ...file,
    model: { ...file.model, config: model, kerasVersion: typeof version === "string" ? version : null },
  };
}

/** A zip of one HDF5 file and its labels, as Teachable Machine exports for Keras. */
export async function readZippedHdf5(
  source: Source,
  folder: Folder,
  name: string,
  skipUnsupported: boolean,
): Promise<KerasFile> {
  const file = await readKerasHdf5(source.part(await folder.read(name)), skipUnsupported);
  if ((await folder.size("labels.txt")) === null) return file;
  const labels = labelsOfText(new TextDecoder().decode(await folder.read("labels.txt")));
  file.extras.set("labels", labels);
  return { ...file, model: { ...file.model, labels } };
}

/** Lists longer than an attribute may be are cut into name0, name1, …: they become one again. */
function joinChunks(extras: Map<string, Plain>): void {
  for (const key of [...extras.keys()]) {
    const [, stem] = /^(.*(?:layer|weight)_names)0$/.exec(key) ?? [];
    if (stem === undefined || extras.has(stem)) continue;
    const all: Plain[] = [];
    for (let i = 0; ; i++) {
      const part = extras.get(`${stem}${i}`);
      if (!Array.isArray(part)) break;
      for (const name of part) all.push(name);
      extras.delete(`${stem}${i}`);
    }
    extras.set(stem, all);
  }
}

/** Arrays that `layer_names` and `weight_names` list in their order, then the others. */
function inLayerOrder(tensors: Weights, extras: ReadonlyMap<string, Plain>): Weights {
  const out = new Map<string, WeightEntry>();
  for (const root of ["", "model_weights/"]) {
    const layers = extras.get(`${root}layer_names`);
    for (const layer of Array.isArray(layers) ? layers : []) {
      const names = extras.get(`${root}${layer}/weight_names`);
      for (const name of Array.isArray(names) ? names : []) {
        const path = `${root}${layer}/${name}`;
        const entry = tensors.get(path);
        if (entry) out.set(path, entry);
      }
    }
  }
  for (const [name, entry] of tensors) if (!out.has(name)) out.set(name, entry);
  return out;
}
