// Sessions follow each other: what lived on a closed device says so, what is on the host goes on, and no device is left
// open, however init and close are called.
import { afterEach, describe, expect, it } from "vitest";
import { findGpu } from "../../src/gpu/device.ts";
import { close, DeviceError, init, nn, type Tensor, tensor, UsageError } from "../../src/index.ts";
import { testOptions } from "../lib/test_options.ts";

afterEach(close);

const CLOSED = /lives on a device that was closed by init\(\) or close\(\); build or load the model again/;
const sessions = { cpu: { device: "cpu" }, gpu: {} } as const;
const open = (on: keyof typeof sessions) => init(testOptions(sessions[on]));

describe.each([
  ["gpu", "gpu"],
  ["gpu", "cpu"],
  ["cpu", "gpu"],
  ["cpu", "cpu"],
] as const)("from %s to %s", (from, to) => {
  it("a model of the closed session is refused at the line that uses it", async () => {
    await open(from);
    const lin = new nn.Linear(3, 2);
    await lin.weight.data();
    await open(to);
    await expect(lin.weight.data()).rejects.toThrow(CLOSED);
    expect(() => lin.forward(tensor([[1, 2, 3]]))).toThrow(CLOSED);
    expect(() => nn.init.constant(lin.weight, 1)).toThrow(CLOSED);
    expect(await tensor([1, 2]).add(1).data()).toEqual(Float32Array.of(2, 3));
  });

  it("a model that no device has seen yet goes on", async () => {
    await open(from);
    const lin = new nn.Linear(1, 1, { bias: false });
    nn.init.constant(lin.weight, 3);
    await open(to);
    expect(await lin.forward(tensor([[2]])).item()).toBe(6);
  });

  it("results that were read go on, others say that they are gone", async () => {
    await open(from);
    const [read, small, large] = [
      tensor([1]).mul(3),
      tensor([1]).mul(4),
      tensor(new Float32Array(1000)).add(1),
    ];
    const host = tensor([5]);
    await read.data();
    await open(to);
    expect(await read.add(1).item()).toBe(4);
    expect(await host.add(1).item()).toBe(6);
    for (const t of [small, large]) {
      await expect(t.data()).rejects.toThrow(/was computed on a device that was closed .*; compute it again/);
      expect(() => t.add(1)).toThrow(DeviceError);
    }
  });

  it("what was recorded and never computed is lost, and says so", async () => {
    await open(from);
    const lin = new nn.Linear(3, 2);
    const y = lin.forward(tensor([[1, 2, 3]]));
    y.sum().backward();
    const grad = lin.weight.grad as Tensor;
    await open(to);
    await expect(y.data()).rejects.toThrow(/not computed before init\(\) or close\(\) ended its session/);
    expect(() => y.add(1)).toThrow(/ended its session/);
    await expect(grad.data()).rejects.toThrow(CLOSED);
  });
});

it("init with wrong options leaves the session as it is", async () => {
  await open("gpu");
  const lin = new nn.Linear(1, 1, { bias: false });
  nn.init.constant(lin.weight, 3);
  await lin.weight.data();
  await expect(init({ seed: -1 })).rejects.toThrow(UsageError);
  expect(await lin.weight.item()).toBe(3);
});

it("init and close that are not awaited leave no device open", { timeout: 20_000 }, async () => {
  const devices: GPUDevice[] = [];
  const dawn = await findGpu();
  const gpu = {
    requestAdapter: async (options?: GPURequestAdapterOptions) => {
      const adapter = (await dawn.requestAdapter(options)) as GPUAdapter;
      const make = adapter.requestDevice.bind(adapter);
      adapter.requestDevice = async (wanted) => {
        const device = await make(wanted);
        devices.push(device);
        return device;
      };
      return adapter;
    },
  } as GPU;
  await Promise.all([init({ gpu }), init({ gpu }), close(), init({ gpu }), init({ device: "cpu" })]);
  expect(devices.length).toBe(3);
  expect((await Promise.all(devices.map((d) => d.lost))).map((why) => why.reason)).toEqual(
    devices.map(() => "destroyed"),
  );
  expect(await tensor([1]).add(1).item()).toBe(2);
});
