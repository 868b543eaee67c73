// The real Teachable Machine export of ../shared/data: its files, the golden pictures, and small NumPy files.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { decode } from "../../src/data/index.ts";
import type { StateEntry } from "../../src/nn/index.ts";

const root = process.env.THAW_DATA ?? fileURLToPath(new URL("../../../shared/data", import.meta.url));
export const folder = `${root}/weights/teachable-machine-mobilenetv2-0.35`;
export const here = existsSync(folder);

interface ModelJson {
  readonly modelTopology: unknown;
  readonly weightsManifest: readonly {
    readonly weights: readonly { readonly name: string; readonly shape: number[]; readonly dtype: string }[];
  }[];
}

/** model.json, weights.bin (float32) and metadata.json as `keras.teachableMachine` takes them. */
export function exportFiles(): {
  topology: unknown;
  weights: Map<string, StateEntry>;
  labels: string[];
  imageSize: number;
} {
  const json = JSON.parse(readFileSync(`${folder}/model.json`, "utf8")) as ModelJson;
  const { labels, imageSize } = JSON.parse(readFileSync(`${folder}/metadata.json`, "utf8"));
  const bytes = new Uint8Array(readFileSync(`${folder}/weights.bin`));
  const weights = new Map<string, StateEntry>();
  let at = 0;
  for (const { name, shape } of json.weightsManifest.flatMap((g) => g.weights)) {
    const length = shape.reduce((a, b) => a * b, 1);
    weights.set(name, {
      shape,
      dtype: "f32",
      data: new Float32Array(bytes.slice(at, at + 4 * length).buffer),
    });
    at += 4 * length;
  }
  if (at !== bytes.length) throw new Error(`weights.bin has ${bytes.length} bytes, the manifest ${at}`);
  return { topology: json.modelTopology, weights, labels, imageSize };
}

/** A .npy file of float32 in C order. */
export function npy(path: string): { shape: number[]; data: Float32Array } {
  const bytes = new Uint8Array(readFileSync(path));
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint16(8, true);
  const header = Buffer.from(bytes.subarray(10, 10 + length)).toString();
  if (!/'<f4'.*False/.test(header)) throw new Error(`${path}: ${header}`);
  const shape =
    /\(([^)]*)\)/
      .exec(header)?.[1]
      .split(",")
      .filter((d) => d.trim())
      .map(Number) ?? [];
  return { shape, data: new Float32Array(bytes.slice(10 + length).buffer) };
}

/** The four golden pictures, 224×224 RGB, as u8 [4, 224, 224, 3] in the order of their names. */
export async function goldenPictures(): Promise<Uint8Array> {
  const out = new Uint8Array(4 * 224 * 224 * 3);
  for (const [i, name] of ["001", "281", "504", "817"].entries()) {
    const { data } = await decode(`${root}/weights/golden-images/${name}.png`);
    out.set(data, i * 224 * 224 * 3);
  }
  return out;
}
