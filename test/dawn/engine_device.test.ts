// A device that the page has opened: Thaw shares it and leaves it as it was. And work that the device never finishes.
import { afterAll, afterEach, beforeEach, expect, it } from "vitest";
import { Commander } from "../../src/gpu/commands.ts";
import { findGpu } from "../../src/gpu/device.ts";
import { close, DeviceError, init, nn, optim, tensor } from "../../src/index.ts";
import { gpuBackend } from "../lib/engine.ts";
import { testOptions } from "../lib/test_options.ts";

let device: GPUDevice;
// Dawn lives as long as these do.
let held: unknown[] = [];

beforeEach(async () => {
  const gpu = await findGpu();
  const adapter = (await gpu.requestAdapter()) as GPUAdapter;
  device = await adapter.requestDevice();
  held.push(gpu, adapter, device);
});
afterEach(async () => {
  await close();
  device.destroy();
});
afterAll(() => {
  held = [];
});

const open = () => init(testOptions({ device }));
const MAP_READ = 1;
const STORAGE = 128;

it("leaves no listener and no buffer behind, and does not destroy it", async () => {
  let listeners = 0;
  const [add, remove] = [device.addEventListener.bind(device), device.removeEventListener.bind(device)];
  device.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };
  device.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  };
  const buffers: GPUBuffer[] = [];
  const create = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    const buffer = create(descriptor);
    buffers.push(buffer);
    return buffer;
  };
  for (let i = 0; i < 2; i++) {
    await open();
    expect(await tensor([1]).add(1).item()).toBe(2);
    await close();
  }
  expect(listeners).toBe(0);
  expect(buffers.length).toBeGreaterThan(0);
  device.pushErrorScope("validation");
  const encoder = device.createCommandEncoder();
  encoder.clearBuffer(buffers[0]);
  device.queue.submit([encoder.finish()]);
  expect((await device.popErrorScope())?.message).toMatch(/destroyed/);
  expect(await Promise.race([device.lost, Promise.resolve("alive")])).toBe("alive");
});

it("the page's own mistakes are not Thaw's; Thaw's own are", async () => {
  await open();
  const seen: string[] = [];
  device.addEventListener("uncapturederror", (e) => {
    e.preventDefault();
    seen.push(e.error.message);
  });
  const wrong = () => device.createBuffer({ label: "wrong", size: 16, usage: MAP_READ | STORAGE });
  wrong();
  expect(await tensor([1]).add(1).item()).toBe(2);
  await device.queue.onSubmittedWorkDone();
  expect(seen.length).toBe(1);
  const { gpu } = await gpuBackend();
  gpu.guard(wrong);
  await device.queue.onSubmittedWorkDone();
  expect(() => gpu.check()).toThrow(DeviceError);
  expect(seen.length).toBe(1);
});

it("work that the device cannot finish fails the step instead of being waited for", {
  timeout: 20_000,
}, async () => {
  await open();
  const lin = new nn.Linear(2, 2);
  const opt = new optim.SGD(lin.parameters(), { lr: 0.1 });
  const done = device.queue.onSubmittedWorkDone.bind(device.queue);
  device.queue.onSubmittedWorkDone = () => Promise.reject(new Error("the driver gave up"));
  const failures: string[] = [];
  for (let i = 0; i < 4; i++) {
    lin
      .forward(tensor([[1, 2]]))
      .sum()
      .backward();
    await opt.step().catch((e: DeviceError) => failures.push(e.message));
  }
  device.queue.onSubmittedWorkDone = done;
  expect(failures.length).toBeGreaterThan(0);
  expect(failures[0]).toBe("the GPU refused work: the driver gave up");
});

it("more runs than may be in flight are waited for, and the wait ends", { timeout: 20_000 }, async () => {
  await open();
  const commander = new Commander((await gpuBackend()).gpu);
  for (let i = 0; i < 6; i++) commander.mark(0);
  await commander.throttle(2);
  await commander.throttle(0);
});
