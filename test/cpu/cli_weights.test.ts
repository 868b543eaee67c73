// thaw convert and thaw weights as a user runs them. Downloads themselves are in weights_download.test.ts.
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { unknownName } from "../../src/cli/weights.ts";
import * as weights from "../../src/weights/index.ts";
import { manifest } from "../../src/weights/known.node.ts";
import { call, dict, global, text, zipFile } from "../fixtures/weights/assemble.ts";
import { good, ONE } from "../fixtures/weights/failure.ts";
import { put, scratch, thaw } from "../lib/cli.ts";

let folder: Awaited<ReturnType<typeof scratch>>;
beforeAll(async () => {
  folder = await scratch();
});
afterAll(() => folder.remove());
const at = (name: string) => join(folder.path, name);

describe("thaw convert", () => {
  test("takes an extension in capitals", async () => {
    const from = await put(at("a.pt"), zipFile(dict(text("w"), good), ONE));
    expect((await thaw(["convert", from, at("A.SAFETENSORS")])).code).toBe(0);
    expect([...(await weights.read(at("A.SAFETENSORS"))).keys()]).toEqual(["w"]);
  });

  test("names objects of classes it does not know", async () => {
    const object = call(global("foo", "Bar\u001b[2J"), text("ls /"));
    const from = await put(at("b.pt"), zipFile(dict(text("a"), object, text("w"), good), ONE));
    const r = await thaw(["convert", from, at("b.safetensors"), "--json"]);
    expect(r.err).toBe("read as data, running nothing of theirs: objects of foo.Bar\\u001b[2J");
    expect(r.lines()).toMatchObject([{ event: "done", tensors: 1, foreign: ["foo.Bar\u001b[2J"] }]);
  });

  test("refuses two tensors that get one name", async () => {
    const entry = { shape: [1], data: Float32Array.of(1) };
    const names = ["norm.1", "norm1"].map((n) => `features.denseblock1.denselayer1.${n}.weight`);
    await weights.write(at("c.safetensors"), Object.fromEntries(names.map((n) => [n, entry])));
    const r = await thaw(["convert", at("c.safetensors"), at("d.safetensors"), "--model", "densenet121"]);
    expect(r.code).toBe(1);
    expect(r.err).toMatch(
      new RegExp(`${names[0]} and ${names[1]} are both called ${names[1]} in densenet121`),
    );
  });
});

describe("thaw weights", () => {
  test("says which name may have been meant", async () => {
    const known = await manifest();
    const sentence = (name: string) => unknownName(name, known).message;
    expect(sentence("densnet")).toMatch(
      /called densnet; did you mean densenet121\? \(thaw weights list shows all\)/,
    );
    expect(sentence("densenet12")).toMatch(/did you mean densenet121\?/);
    expect(sentence("DenseNet169/imagnet")).toMatch(/did you mean densenet169\/imagenet\?/);
    expect(sentence("alexnet")).not.toMatch(/did you mean/);
  });
});
