// ONNX files beyond the fixture: what Thaw itself exports read back, and models put together by hand that lie or ask for
// more than they hold.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { close, init, models, onnxBytes, tfjsFiles } from "../../src/index.ts";
import { exportState } from "../../src/nn/index.ts";
import * as weights from "../../src/weights/index.ts";
import { ProtoWriter } from "../../src/weights/protobuf.ts";

beforeAll(() => init({ device: "cpu", seed: 3 }));
afterAll(() => close());

const message = () => new ProtoWriter();
const floats = (...v: number[]) => new Uint8Array(Float32Array.from(v).buffer);

/** A TensorProto: shape, name, and what `data` adds. */
const tensor = (name: string, dims: number[], data: (t: ProtoWriter) => void, type = 1): ProtoWriter => {
  const t = message().packed(1, dims).varint(2, type);
  data(t);
  return t.text(8, name);
};

/** A model of those initialisers. */
const model = (...tensors: ProtoWriter[]): Uint8Array => {
  const graph = message().text(2, "g");
  for (const t of tensors) graph.message(5, t);
  return message().varint(1, 8).message(7, graph).finish();
};

const raw = (bytes: Uint8Array) => (t: ProtoWriter) => t.bytes(9, bytes);

async function refusal(bytes: Uint8Array): Promise<string> {
  const error = await weights.read(bytes, { name: "x.onnx" }).then(
    (tensors) => new Error(`read ${tensors.size} tensors`),
    (e: Error) => e,
  );
  expect(error, error.stack).toMatchObject({ name: "DataError" });
  expect(error.message).not.toMatch(/\n/);
  return error.message;
}

describe("weights: what Thaw exports", () => {
  it("is read from ONNX and TensorFlow.js with the values of the network", async () => {
    const net = models.densenet_mini({ numClasses: 4 });
    const state = await exportState(net);
    const onnx = await weights.readCheckpoint(await onnxBytes(net, { inputShape: [3, 32, 32] }));
    expect(onnx.format).toBe("onnx");
    // Batch norms may be folded into other numbers; convolutions and the head are what they were.
    const sum = (e: { data: ArrayLike<number | bigint> }) =>
      Array.from(e.data, Number).reduce((s, v) => s + v, 0);
    const kernels = [...state].filter(([, e]) => e.shape.length === 4);
    const sums = new Set([...onnx.tensors.values()].map(sum));
    expect(kernels.length).toBeGreaterThan(5);
    for (const [name, e] of kernels) expect(sums.has(sum(e)), name).toBe(true);
    const files = await tfjsFiles(net, { inputShape: [3, 32, 32] });
    const list = [...files].map(([name, bytes]) => new File([bytes as BlobPart], name));
    const tfjs = await weights.readCheckpoint(list);
    expect(tfjs.model?.config?.["class_name"]).toBeDefined();
    const read = [...tfjs.tensors.values()].filter((e) => e.shape.length === 4);
    expect(read.map((e) => e.data.length).sort()).toEqual(kernels.map(([, e]) => e.data.length).sort());
  });
});

describe("weights: ONNX", () => {
  it("reads what it should", async () => {
    const read = await weights.read(model(tensor("a", [2], raw(floats(1, 2)))));
    expect(read).toEqual(new Map([["a", { shape: [2], dtype: "f32", data: Float32Array.of(1, 2) }]]));
  });

  it("refuses tensors that contradict themselves", async () => {
    const a = tensor("a", [2], raw(floats(1, 2)));
    expect(await refusal(model(a, a))).toMatch(/two tensors called "a"/);
    expect(await refusal(model(tensor("", [2], raw(floats(1, 2)))))).toMatch(
      /a tensor without a name|without a name/,
    );
    const short = model(tensor("a", [3], raw(floats(1, 2))));
    expect(await refusal(short)).toMatch(/tensor "a" is f32\[3\], which takes 12 bytes, but 8 are there/);
    expect(await refusal(model(tensor("a", [-2], raw(floats(1, 2)))))).toMatch(/impossible shape \[-2\]/);
    expect(await refusal(model(tensor("a", [2 ** 40, 2 ** 40], () => {})))).toMatch(/impossible shape/);
    expect(await refusal(model(tensor("a", [2 ** 40], () => {})))).toMatch(
      /takes 4398046511104 bytes, but 0/,
    );
    const long = new Array(65).fill(1);
    expect(await refusal(model(tensor("a", long, raw(floats(1)))))).toMatch(/a tensor of more than 64 axes/);
  });

  it("refuses models that contradict themselves", async () => {
    const graph = message().text(2, "g");
    const two = message().varint(1, 8).message(7, graph).message(7, graph).finish();
    expect(await refusal(two)).toMatch(/holds two ONNX graphs/);
    expect(await refusal(message().varint(1, 8).text(2, "p").finish())).toMatch(/no format that Thaw reads/);
    const bytes = model(tensor("a", [2], raw(floats(1, 2))));
    expect(await refusal(bytes.subarray(0, bytes.length - 3))).toMatch(/its ONNX model is cut short/);
  });

  it("makes no object of each of millions of numbers", async () => {
    const many = new Uint8Array(20_000_000).fill(3);
    const typed = model(tensor("a", [many.length], (t) => t.bytes(7, many), 7));
    const { data } = (await weights.read(typed)).get("a")!;
    expect(data.length).toBe(many.length);
    expect(data.at(-1)).toBe(3n);
    const cut = model(tensor("a", [2], (t) => t.bytes(7, Uint8Array.of(1, 129)), 7));
    expect(await refusal(cut)).toMatch(/tensor "a" is cut short in a number/);
    const huge = model(tensor("a", [1], (t) => t.bytes(7, new Uint8Array(11).fill(255).fill(1, 10)), 7));
    expect(await refusal(huge)).toMatch(/a number of more than 64 bits/);
  });
});
