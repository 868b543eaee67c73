// What a zip archive holds, told by its members: a PyTorch checkpoint, Keras 3's model, a TensorFlow.js model such as
// Teachable Machine exports, or one HDF5 file. And model.json with its files beside it, which need no archive.

import { type Folder, zipFolder } from "./folder.ts";
import { type KerasFile, readKerasZip, readZippedHdf5 } from "./keras.ts";
import type { FileModel } from "./model_info.ts";
import type { Source } from "./source.ts";
import { tfjsModel } from "./teachable.ts";
import { readTfjs } from "./tfjs.ts";
import { readTorchZip } from "./torch_zip.ts";
import type { Plain, Skipped, Weights } from "./types.ts";
import type { PyValue } from "./values.ts";
import { openZip, readMember, type Zip } from "./zip.ts";

/** What any of the formats here gives. */
export interface Found {
  readonly format: "keras-h5" | "keras-zip" | "tfjs" | "teachable-machine";
  readonly tensors: Weights;
  readonly extras: Map<string, Plain>;
  readonly skipped: Skipped[];
  readonly model: FileModel;
}

/** The arrays of an archive, or the root of what its pickle describes. `verify` checks each member's CRC-32. */
export async function readArchive(
  source: Source,
  verify: boolean,
  skipUnsupported: boolean,
): Promise<Found | { readonly root: PyValue }> {
  const zip = openZip(source, verify);
  const names = [...zip.members.keys()];
  const isTorch = names.some((n) => /^([^/]*\/)?data\.pkl$/.test(n));
  const weights = isTorch ? undefined : shallowest(names, "model.weights.h5");
  if (weights !== undefined) {
    const folder = zipFolder(zip, weights);
    return withFormat("keras-zip", await readKerasZip(source, folder, skipUnsupported));
  }
  const json = isTorch ? undefined : shallowest(names, "model.json");
  if (json !== undefined) return readTfjsZip(zip, json, skipUnsupported);
  const hdf5 = isTorch ? [] : names.filter((n) => /\.(h5|hdf5)$/.test(n) && !n.startsWith("__MACOSX/"));
  if (hdf5.length === 1) {
    const cut = hdf5[0].lastIndexOf("/") + 1;
    const folder = zipFolder(zip, hdf5[0].slice(0, cut));
    return withFormat("keras-h5", await readZippedHdf5(source, folder, hdf5[0].slice(cut), skipUnsupported));
  }
  if (!isTorch) refuseOthers(source, names);
  return { root: readTorchZip(zip) };
}

const withFormat = (format: Found["format"], file: KerasFile): Found => ({ format, ...file });

/** The folder, with its slash, of the member of that name that lies in the fewest folders; undefined without one. */
function shallowest(names: readonly string[], name: string): string | undefined {
  const depth = (n: string) => n.split("/").length;
  const found = names.filter((n) => (n === name || n.endsWith(`/${name}`)) && !n.startsWith("__MACOSX/"));
  return found.sort((a, b) => depth(a) - depth(b))[0]?.slice(0, -name.length);
}

/** Other exports of Teachable Machine, which people try. */
function refuseOthers(source: Source, names: readonly string[]): void {
  if (names.some((n) => /(^|\/)saved_model\.pb$/.test(n))) {
    throw source.error(
      "holds a TensorFlow SavedModel, which Thaw does not read; export it as Keras .h5 or TensorFlow.js",
    );
  }
  if (names.some((n) => /\.tflite$/.test(n))) {
    throw source.error(
      "holds a TensorFlow Lite model, which Thaw does not read; export it for TensorFlow.js",
    );
  }
}

function readTfjsZip(zip: Zip, prefix: string, skipUnsupported: boolean): Promise<Found> {
  const { source } = zip;
  const member = zip.members.get(`${prefix}model.json`);
  if (!member) throw source.error(`has no member ${prefix}model.json`);
  return readBeside(source.part(readMember(zip, member)), zipFolder(zip, prefix), skipUnsupported);
}

/** model.json and the files beside it. Throws DataError where these are not known: bytes on their own. */
export async function readBeside(
  source: Source,
  beside: Folder | null,
  skipUnsupported: boolean,
): Promise<Found> {
  if (!beside) {
    throw source.error(
      "is the model.json of a TensorFlow.js model, whose weights lie in files beside it; pass its path, a zip of them all, or the list of files",
    );
  }
  const { json, ...file } = await readTfjs(source, beside, skipUnsupported);
  const { model, isTeachable } = await tfjsModel(source, beside, json, file.extras);
  return { format: isTeachable ? "teachable-machine" : "tfjs", ...file, model };
}
