// Options of init: what there is none of, or of a wrong kind, is refused in a sentence that says what there is instead.
import { afterAll, expect, it } from "vitest";
import { UNIT_F16 } from "../../src/core/accuracy.ts";
import { findGpu } from "../../src/gpu/device.ts";
import { close, DeviceError, type InitOptions, init, nn, tensor, UsageError } from "../../src/index.ts";

afterAll(close);

const wrong: [unknown, string][] = [
  [{ devcie: "cpu" }, "init: there is no option devcie; did you mean device?"],
  [{ tuen: "on" }, "init: there is no option tuen; did you mean tune?"],
  [{ unlike: 1 }, "init: there is no option unlike; there are gpu, adapter, device,"],
  [{ tune: true }, 'init: tune must be "off", "cached" or "on", got true'],
  [{ tune: "on", device: "cpu" }, 'init: tune "on" needs a GPU'],
  [{ limits: { maxBufferSize: 3 } }, "init: there is no option limits.maxBufferSize; there are maxStorage"],
  [{ limits: { maxStorageBufferBindingSize: 0.5 } }, "must be a whole number of at least 1, got 0.5"],
  [{ device: "gpu" }, 'init: device must be an opened device or "cpu" (leave it out'],
  [{ device: null }, "init: device must be an opened device"],
  [{ gpu: {} }, "init: gpu must be a GPU object such as navigator.gpu, got an object"],
  [{ adapter: [] }, "init: adapter must be an adapter that requestAdapter() gave, got an array"],
  [{ seed: "1" }, 'init: seed must be a whole number of at least 0, got "1"'],
  [{ hoist: 0 }, "init: hoist must be true or false, got 0"],
  [{ precision: "f64" }, 'init: precision must be "f32" or "f16", got "f64"'],
  [{ precision: "f16", device: "cpu" }, 'init: precision "f16" is for GPUs'],
  [{ rewrites: { nonsense: false } }, "init: there is no rewrite called nonsense"],
  [{ dawn: ["vulkan"] }, "init: dawn must be an array of flags"],
  [{ shaders: {} }, "init: shaders must be a Map"],
  ["cpu", 'init: takes an object of options, got "cpu"'],
  [null, "init: takes an object of options, got null"],
];

it.each(wrong)("%j is refused", async (options, message) => {
  const error = await init(options as InitOptions).then(
    () => null,
    (e: unknown) => e as Error,
  );
  expect(error).toBeInstanceOf(UsageError);
  expect(error?.message).toContain(message);
  expect(error?.message).not.toContain("\n");
});

it("options that are undefined are as if they were not there", async () => {
  await init({ device: "cpu", seed: undefined, limits: undefined, hoist: undefined });
  expect(await tensor([1]).add(1).item()).toBe(2);
});

it.each([
  ["adapter=Nope", /^no GPU adapter can be had: no suitable backends found/],
  ["backend=nope", /^no GPU adapter can be had: unrecognised backend 'nope'/],
])("Dawn's refusal of %s is one sentence", async (flag, message) => {
  const error = await init({ dawn: [flag] }).then(
    () => null,
    (e: unknown) => e as Error,
  );
  expect(error).toBeInstanceOf(DeviceError);
  expect(error?.message).toMatch(message);
  expect(error?.message).not.toContain("\n");
});

it("an adapter that has given its device away is refused in one sentence", async () => {
  const gpu = await findGpu();
  const adapter = (await gpu.requestAdapter()) as GPUAdapter;
  await init({ adapter });
  expect(await tensor([1]).add(1).item()).toBe(2);
  await expect(init({ adapter })).rejects.toThrow(/^the adapter gives no device: adapter is "consumed"/);
  await close();
  expect(gpu).toBeDefined();
});

it("precision f16 rounds what a convolution multiplies, where the adapter has shader-f16", async () => {
  const gpu = await findGpu();
  const adapter = await gpu.requestAdapter();
  const run = async (precision: "f32" | "f16") => {
    await init({ precision });
    const wave = (n: number, by: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(by * i + 1));
    const x = tensor(wave(2 * 16 * 36, 0.7), [2, 16, 6, 6]);
    const w = tensor(wave(16 * 16 * 9, 0.3), [16, 16, 3, 3]);
    return nn.functional.conv2d(x, w, null, { padding: 1 }).data();
  };
  if (!adapter?.features.has("shader-f16")) {
    await expect(run("f16")).rejects.toThrow(/^init: precision "f16" needs the feature shader-f16/);
    return;
  }
  const [full, half] = [await run("f32"), await run("f16")];
  const off = Math.max(...full.map((v, i) => Math.abs(v - half[i])));
  // 144 products of at most 1: so much by the unit of f16, and far more than f32 rounds.
  expect(off).toBeLessThan(4 * UNIT_F16 * Math.sqrt(144) * 144);
  expect(off).toBeGreaterThan(1e-4);
});
