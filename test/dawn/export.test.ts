// A network that lives on the device, and was trained there, is written as it is now: onnxruntime and TensorFlow.js
// give what the device gives, and training goes on afterwards as if nothing had been written.
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  close,
  manualSeed,
  nn,
  noGrad,
  onnxBytes,
  optim,
  type Tensor,
  tensor,
  tfjsFiles,
} from "../../src/index.ts";
import { open, smallNet, wave } from "../lib/engine.ts";
import { runOnnx, runTfjs } from "../lib/engines.ts";
import { expectClose } from "../lib/export_compare.ts";

beforeAll(() => open({ seed: 2 }));
afterAll(() => close());

const shape = [4, 2, 6, 6];
const steps = async (net: nn.Sequential, opt: optim.Adam, count: number): Promise<number> => {
  net.train();
  let loss: Tensor | null = null;
  for (let i = 0; i < count; i++) {
    loss = nn.functional.crossEntropy(net.forward(wave(shape, i)), tensor(Int32Array.of(0, 1, 2, 0), [4]));
    net.zeroGrad();
    loss.backward();
    await opt.step();
  }
  return loss ? loss.item() : Number.NaN;
};

it("is written with the weights of now", async () => {
  const run = async (write: boolean) => {
    manualSeed(5);
    const net = smallNet(0);
    const opt = new optim.Adam(net.parameters(), { lr: 0.05 });
    if (write) {
      // Of a network that no device has seen yet.
      const before = await onnxBytes(net, { inputShape: shape.slice(1) });
      net.eval();
      const y = (await noGrad(() => net.forward(wave(shape))).data()) as Float32Array;
      expectClose((await runOnnx(before, (await wave(shape).data()) as Float32Array, shape)).data, y);
    }
    await steps(net, opt, 3);
    if (write) {
      const x = (await wave(shape, 9).data()) as Float32Array;
      const [onnx, tfjs] = [
        await onnxBytes(net, { inputShape: shape.slice(1) }),
        await tfjsFiles(net, { inputShape: shape.slice(1) }),
      ];
      expect(net.training).toBe(true);
      net.eval();
      const y = (await noGrad(() => net.forward(wave(shape, 9))).data()) as Float32Array;
      expectClose((await runOnnx(onnx, x, shape)).data, y);
      expectClose((await runTfjs(tfjs, x, shape)).data, y);
    }
    return steps(net, opt, 2);
  };
  expect(await run(true)).toBe(await run(false));
});
