// Teachable Machine's export for TensorFlow.js: a layers model with metadata.json beside it, which has the labels and
// the size of pictures. https://github.com/googlecreativelab/teachablemachine-community (libraries/image)

import type { Folder } from "./folder.ts";
import { type Json, parseJson } from "./json.ts";
import { type FileModel, inputSide, labelsOfText, teachablePreprocessing, topologyOf } from "./model_info.ts";
import type { Source } from "./source.ts";
import type { Plain } from "./types.ts";

const MAX_METADATA = 2 ** 24;

/** What is said of a TensorFlow.js model, and whether it is Teachable Machine's. `extras` gets labels and metadata. */
export async function tfjsModel(
  source: Source,
  folder: Folder,
  json: Json,
  extras: Map<string, Plain>,
): Promise<{ readonly model: FileModel; readonly isTeachable: boolean }> {
  const { config, kerasVersion } = topologyOf(json["modelTopology"]);
  const metadata = await metadataOf(source, folder);
  for (const [key, value] of Object.entries(metadata ?? {})) {
    if (value === null || typeof value !== "object") extras.set(`metadata/${key}`, value as Plain);
  }
  const isTeachable = /^@teachablemachine\//.test(String(metadata?.["packageName"] ?? ""));
  const labels = labelsIn(source, metadata, isTeachable) ?? (await labelsBeside(source, folder));
  if (labels) extras.set("labels", labels);
  const isImage = isTeachable && metadata?.["packageName"] === "@teachablemachine/image";
  const told = metadata?.["imageSize"];
  const side = Number.isSafeInteger(told) && (told as number) > 0 ? (told as number) : inputSide(config);
  const preprocessing = isImage && side !== null ? teachablePreprocessing(side) : null;
  return { model: { config, kerasVersion, labels, preprocessing }, isTeachable };
}

async function metadataOf(source: Source, folder: Folder): Promise<Json | null> {
  const size = await folder.size("metadata.json");
  if (size === null) return null;
  if (size > MAX_METADATA)
    throw source.error(`its metadata.json takes ${size} bytes; at most ${MAX_METADATA}`);
  return parseJson(source, await folder.read("metadata.json"), "its metadata.json");
}

/** In the metadata.json of others the word may mean anything. */
function labelsIn(source: Source, metadata: Json | null, isTeachable: boolean): string[] | null {
  const labels = metadata?.["labels"];
  if (labels === undefined || labels === null) return null;
  if (Array.isArray(labels) && labels.every((label) => typeof label === "string")) return labels;
  if (!isTeachable) return null;
  throw source.error("its metadata.json has labels that are no list of texts");
}

async function labelsBeside(source: Source, folder: Folder): Promise<string[] | null> {
  const size = await folder.size("labels.txt");
  if (size === null) return null;
  if (size > MAX_METADATA) throw source.error(`its labels.txt takes ${size} bytes; at most ${MAX_METADATA}`);
  return labelsOfText(new TextDecoder().decode(await folder.read("labels.txt")));
}
