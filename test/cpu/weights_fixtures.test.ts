// Files written by PyTorch 1.13 (test/fixtures/weights/make.py), compared with every element torch.load gave.
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as weights from "../../src/weights/index.ts";

const folder = new URL("../fixtures/weights/", import.meta.url);

interface Facts {
  shape: number[];
  dtype: string;
  hex: string;
}

interface Expected {
  tensors: Record<string, Facts>;
  extras?: Record<string, unknown>;
  skipped?: Record<string, string>;
}

const { files } = JSON.parse(readFileSync(new URL("expected.json", folder), "utf8")) as {
  files: Record<string, Expected>;
};

const path = (name: string) => new URL(name, folder);

function facts(entry: weights.WeightEntry): Facts {
  const { buffer, byteOffset, byteLength } = entry.data;
  return {
    shape: entry.shape,
    dtype: entry.dtype,
    hex: Buffer.from(buffer, byteOffset, byteLength).toString("hex"),
  };
}

/** JSON has no big integers. */
function plain(value: unknown): unknown {
  return typeof value === "bigint" ? `${value}n` : value;
}

describe("weights: files written by PyTorch", () => {
  it.each(Object.entries(files))("reads %s bit for bit", async (name, expected) => {
    const { tensors, extras, skipped } = await weights.readCheckpoint(path(name), { skipUnsupported: true });
    const got = Object.fromEntries([...tensors].map(([key, entry]) => [key, facts(entry)]));
    expect(got).toEqual(expected.tensors);
    expect([...tensors.keys()]).toEqual(Object.keys(expected.tensors));
    for (const [key, value] of Object.entries(expected.extras ?? {})) {
      expect(plain(extras.get(key)), `extra ${key}`).toEqual(value);
    }
    expect(Object.fromEntries(skipped.map((s) => [s.name, s.reason]))).toEqual(expected.skipped ?? {});
  });

  it("gives each dtype its typed array", async () => {
    const kinds = Object.fromEntries(
      [...(await weights.read(path("dtypes.zip.pt")))].map(([name, { data }]) => [
        name,
        data.constructor.name,
      ]),
    );
    expect(kinds).toMatchObject({
      f64: "Float64Array",
      f32: "Float32Array",
      f16: "Uint16Array",
      bf16: "Uint16Array",
      i64: "BigInt64Array",
      i32: "Int32Array",
      i16: "Int16Array",
      i8: "Int8Array",
      u8: "Uint8Array",
      bool: "Uint8Array",
    });
  });

  it("tells the formats by content", async () => {
    const format = async (name: string) => (await weights.readCheckpoint(path(name))).format;
    expect(await format("views.zip.pt")).toBe("pytorch-zip");
    expect(await format("views.legacy.pt")).toBe("pytorch-legacy");
    expect(await format("protocol1.legacy.pt")).toBe("pytorch-legacy");
    expect(await format("first.tar.pt")).toBe("pytorch-tar");
    expect(await format("arrays.protocol2.pkl")).toBe("pickle");
  });

  it.each(["zip", "legacy"])("refuses what it does not read by name (%s)", async (form) => {
    await expect(weights.read(path(`unreadable.${form}.pt`))).rejects.toThrow(
      /unreadable\.\w+\.pt: tensor "complex" is complex \(complex64\), which Thaw does not read; skipUnsupported/,
    );
  });

  it.each(["zip", "legacy"])(
    "keeps a shared storage shared, and stored bytes uncopied (%s)",
    async (form) => {
      const given = new Uint8Array(readFileSync(path(`views.${form}.pt`)));
      const tensors = await weights.read(given);
      const base = tensors.get("base")?.data as Float32Array;
      expect(tensors.get("again")?.data.buffer).toBe(base.buffer);
      expect(tensors.get("row")?.data.buffer).toBe(base.buffer);
      // Strides of axes of length 1 mean nothing.
      expect(tensors.get("one")?.data.buffer).toBe(base.buffer);
      if (form === "zip") expect(base.buffer).toBe(given.buffer);
      expect(tensors.get("permuted")?.data.buffer).not.toBe(base.buffer);
    },
  );

  it("loads in a browser: nothing of Node's is imported statically", () => {
    const src = new URL("../../src/weights/", import.meta.url);
    // What ends in .node.ts is loaded dynamically.
    for (const file of readdirSync(src).filter((f) => !f.endsWith(".node.ts"))) {
      expect(readFileSync(new URL(file, src), "utf8"), file).not.toMatch(
        /^import .*["']node:|^\} from ["']node:/m,
      );
    }
  });

  it("takes bytes at any address, buffers, blobs and paths", async () => {
    const name = "views.zip.pt";
    const content = new Uint8Array(readFileSync(path(name)));
    const shifted = new Uint8Array(content.length + 3);
    shifted.set(content, 3);
    const wanted = files[name].tensors.permuted;
    const inputs = [shifted.subarray(3), content.buffer, new Blob([content]), path(name).pathname];
    for (const input of inputs) {
      expect(facts((await weights.read(input)).get("permuted") as weights.WeightEntry)).toEqual(wanted);
    }
  });
});
