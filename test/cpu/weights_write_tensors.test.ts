// weights.write takes the tensors of a model as they are, and what exportState gives without a cast.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { close, init, nn, optim, tensor, weights } from "../../src/index.ts";

const folder = mkdtempSync(join(tmpdir(), "thaw-write-"));
const path = join(folder, "w.safetensors");
beforeAll(() => init({ device: "cpu", seed: 1 }));
afterAll(async () => {
  await close();
  rmSync(folder, { recursive: true });
});

const net = () => new nn.Sequential(new nn.Conv2d(2, 3, 1), new nn.BatchNorm2d(3));

it("writes a state dict, which loads again", async () => {
  const from = net();
  await weights.write(path, from.stateDict());
  const read = await weights.read(path);
  expect([...read.keys()].sort()).toEqual([...from.stateDict().keys()].sort());
  const to = net();
  to.loadStateDict(read);
  for (const [name, t] of from.stateDict())
    expect(await to.stateDict().get(name)?.data()).toEqual(await t.data());
});

it("writes what exportState gives, and tensors beside arrays", async () => {
  const exported = await nn.exportState(net());
  await weights.write(path, exported);
  expect((await weights.read(path)).size).toBe(exported.size);
  const array = { shape: [1], data: Float64Array.of(2) };
  await weights.write(path, { t: tensor(Int32Array.of(1, 2), [2]), a: array });
  const read = await weights.read(path);
  expect(read.get("t")).toEqual({ shape: [2], dtype: "i32", data: Int32Array.of(1, 2) });
  expect(read.get("a")?.data).toEqual(Float64Array.of(2));
});

it("writes the values at the call, though training goes on", async () => {
  const model = new nn.Linear(2, 1);
  const values = async () =>
    Promise.all([...model.stateDict().values()].map(async (t) => [...(await t.data())]));
  const before = await values();
  const opt = new optim.SGD(model.parameters(), { lr: 1 });
  const writing = weights.write(path, model.stateDict());
  model
    .forward(tensor(Float32Array.of(1, 1), [1, 2]))
    .sum()
    .backward();
  await opt.step();
  await writing;
  const after = await values();
  const read = await weights.read(path);
  for (const [i, name] of [...model.stateDict().keys()].entries()) {
    expect(after[i], name).not.toEqual(before[i]);
    expect([...(read.get(name)?.data ?? [])], name).toEqual(before[i]);
  }
});
