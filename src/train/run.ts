// A finished run as a classifier: loaded from its folder or from a URL, in Node or in a page.

import { inNode } from "../core/env.ts";
import { DataError, messageOf, UsageError } from "../core/error.ts";
import { type Classifier, create } from "../models/index.ts";
import { init } from "../nn/index.ts";
import { read, type Weights } from "../weights/index.ts";
import { replaceHead } from "./head.ts";
import { PictureClassifier } from "./picture_classifier.ts";
import { parseRunInfo, type RunInfo } from "./run_info.ts";

/** The classifier of a run, with what its run.json says of it. */
export class RunClassifier extends PictureClassifier {
  readonly info: RunInfo;

  constructor(info: RunInfo, weights: Weights, source: string) {
    const { classes, preprocessing } = info;
    super({ model: trained(info, weights, source), classes, preprocessing });
    this.info = info;
  }
}

function trained(info: RunInfo, weights: Weights, source: string): Classifier {
  const model = init.skipInit(() => {
    const made = create(info.model.name);
    replaceHead(made, info.model.head, info.classes.length);
    return made;
  });
  model.loadStateDict(weights, { source });
  return model;
}

/**
 * Loads a run from its folder, or from the URL of one (`https://…/run`), which must serve run.json and
 * model.safetensors; a query (`https://…/run?token=…`) goes to both. Throws DataError when either is missing or broken.
 */
export async function loadRun(pathOrUrl: string | URL): Promise<RunClassifier> {
  const at = String(pathOrUrl);
  if (at.trim() === "") throw new UsageError("the run is an empty text: expected its folder or URL");
  if (/^https?:/.test(at) || !inNode()) return fetchRun(at);
  const { fileURLToPath } = await import("node:url");
  const { RunFolder } = await import("./run_folder.node.ts");
  const folder = new RunFolder(at.startsWith("file:") ? fileURLToPath(at) : at);
  const info = await folder.readInfo();
  return new RunClassifier(info, await folder.readModel(), `${folder.path}/model.safetensors`);
}

/** The URL of a file in the folder at `url`; what follows `?` stays behind it. A page's may be relative. */
export function fileUrl(url: string, name: string): string {
  const [, path, query = ""] = /^([^?#]*)(\?[^#]*)?/.exec(url) as RegExpExecArray;
  return `${path.replace(/\/+$/, "")}/${name}${query}`;
}

async function fetchRun(url: string): Promise<RunClassifier> {
  const get = async (name: string): Promise<Response> => {
    const at = fileUrl(url, name);
    const answer = await fetch(at).catch((error) => {
      throw new DataError(`${at} could not be fetched: ${messageOf(error)}`);
    });
    if (!answer.ok) throw new DataError(`${at} could not be fetched: ${answer.status} ${answer.statusText}`);
    return answer;
  };
  const info = parseRunInfo(await (await get("run.json")).text(), fileUrl(url, "run.json"));
  const bytes = new Uint8Array(await (await get("model.safetensors")).arrayBuffer());
  const name = fileUrl(url, "model.safetensors");
  return new RunClassifier(info, await read(bytes, { name }), name);
}
