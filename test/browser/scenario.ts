// What runs in a page and in Node alike: plain use of the public API, nothing of either host, on the device that is
// open. Inputs come from integer arithmetic, because Math.sin may differ between versions of V8.
import type * as Api from "../../src/index.ts";

type Thaw = typeof Api;

/** Results as the bit patterns of their f32 numbers, by name. */
export type Bits = Record<string, number[]>;

export interface ConvCase {
  readonly x: readonly number[];
  readonly w: readonly number[];
  readonly options: object;
}

export const CONVOLUTIONS: Readonly<Record<string, ConvCase>> = {
  "3x3 stride 2": { x: [2, 5, 11, 9], w: [6, 5, 3, 3], options: { stride: 2, padding: 1 } },
  "depthwise 5x3": { x: [2, 6, 8, 8], w: [6, 1, 5, 3], options: { groups: 6, padding: [2, 1] } },
  "1x1": { x: [2, 16, 7, 7], w: [12, 16, 1, 1], options: {} },
};

/** Numbers in [-0.5, 0.5), exact in f32, that look random and are the same everywhere. */
function noise(thaw: Thaw, shape: readonly number[], salt: number): Api.Tensor {
  const n = shape.reduce((a, b) => a * b, 1);
  const word = (i: number) => Math.imul(i + 1 + 1000 * salt, 0x9e3779b1) >>> 8;
  return thaw.tensor(
    Float32Array.from({ length: n }, (_, i) => word(i) / 2 ** 24 - 0.5),
    shape,
  );
}

async function bits(t: Api.Tensor | null): Promise<number[]> {
  const data = (await t?.data()) as Float32Array;
  return [...new Uint32Array(data.buffer, data.byteOffset, data.length)];
}

/** Forward, and the gradients of x, w and bias under a random cotangent. */
async function convolution(thaw: Thaw, name: string, c: ConvCase): Promise<Bits> {
  const [x, w, b] = [c.x, c.w, [c.w[0]]].map((shape, i) => {
    const t = noise(thaw, shape, i);
    t.requiresGrad = true;
    return t;
  });
  const y = thaw.nn.functional.conv2d(x, w, b, c.options);
  y.mul(noise(thaw, y.shape, 7))
    .sum()
    .backward();
  const out: Bits = {};
  for (const [part, t] of Object.entries({ y, dx: x.grad, dw: w.grad, db: b.grad }))
    out[`${name} ${part}`] = await bits(t);
  return out;
}

/** Three compiled Adam steps on one batch; then the whole state. */
async function training(thaw: Thaw): Promise<Bits> {
  const { nn, optim } = thaw;
  const net = new nn.Sequential(
    // No bias: before a batch norm its gradient is rounding alone, which Adam would blow up to full steps.
    new nn.Conv2d(3, 8, 3, { padding: 1, bias: false }),
    new nn.BatchNorm2d(8),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Flatten(),
    new nn.Dropout(0.25),
    new nn.Linear(8 * 36, 4),
  );
  const opt = new optim.Adam(net.parameters(), { lr: 5e-3, weightDecay: 1e-4 });
  const step = thaw.compile((x: Api.Tensor, y: Api.Tensor) => {
    const loss = nn.functional.crossEntropy(net.forward(x) as Api.Tensor, y);
    net.zeroGrad();
    loss.backward();
    void opt.step();
    return loss;
  });
  const x = noise(thaw, [8, 3, 12, 12], 20);
  const y = thaw.tensor(Int32Array.of(0, 1, 2, 3, 0, 1, 2, 3));
  const out: Bits = {};
  for (let i = 1; i <= 3; i++) out[`loss ${i}`] = await bits(step(x, y));
  for (const [name, t] of net.stateDict())
    if (!name.endsWith("num_batches_tracked")) out[`state ${name}`] = await bits(t);
  return out;
}

export async function scenario(thaw: Thaw): Promise<Bits> {
  thaw.manualSeed(11);
  const out: Bits = {};
  for (const [name, c] of Object.entries(CONVOLUTIONS)) Object.assign(out, await convolution(thaw, name, c));
  return Object.assign(out, await training(thaw));
}
