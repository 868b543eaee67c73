// Options of init: what there is none of, or of a wrong kind, is refused in a sentence that says what there is instead.
import { afterAll, expect, it } from "vitest";
import { findGpu } from "../../src/gpu/device.ts";
import { close, DeviceError, type InitOptions, init, tensor, UsageError } from "../../src/index.ts";

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
