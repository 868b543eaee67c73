// Profiling on the device: every dispatch of the plan is timed and accounted for, layers are named, effects happen once a
// run, by either clock.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FINE_CLOCK } from "../../src/gpu/device.ts";
import { close, compile, models, nn, optim, type Tensor, tensor } from "../../src/index.ts";
import type { Profile } from "../../src/runtime/tally.ts";
import { byKernel, byLayer, total, UPDATE } from "../../src/schedule/profile.ts";
import { gpuBackend, open, plansOf, snapshot, wave } from "../lib/engine.ts";

function training() {
  const model = models.densenet_mini({ numClasses: 3 }).train();
  // Without momentum a step is the same work on whatever is there, so that runs can be counted by their effect.
  const opt = new optim.SGD(model.parameters(), { lr: 0.01 });
  const step = compile((x: Tensor, y: Tensor) => {
    const loss = nn.functional.crossEntropy(model.forward(x), y);
    opt.zeroGrad();
    loss.backward();
    void opt.step();
    return loss;
  });
  const args = [wave([2, 3, 32, 32]), tensor(Int32Array.of(0, 2))] as const;
  return { model, run: () => step(...args).item() };
}

describe("a profile", () => {
  beforeEach(() => open({ seed: 5, dawn: [FINE_CLOCK] }));
  afterEach(close);

  it("times each dispatch of the plan, and names layers that the model has", async () => {
    const { model, run } = training();
    const [plan] = await plansOf(run);
    const profile = (await (await gpuBackend()).profile(3)) as Profile;
    expect(profile.plan).toBe(plan);
    expect(profile.ms).toHaveLength(plan.steps.length);
    const dispatches = plan.steps.filter((s) => s.kind === "dispatch").length;
    const all = total([profile]);
    expect(all.calls).toBe(dispatches);
    expect(all.ms).toBeGreaterThan(0);
    for (const rows of [byKernel([profile]), byLayer([profile])]) {
      expect(rows.reduce((n, r) => n + r.calls, 0)).toBe(dispatches);
      expect(rows.reduce((n, r) => n + r.ms, 0)).toBeCloseTo(all.ms, 6);
    }
    const names = new Set([...model.namedModules()].map(([name]) => name));
    const layers = byLayer([profile]);
    const unknown = layers.map((l) => l.layer).filter((l) => !l.startsWith("(") && !names.has(l));
    expect(unknown).toEqual([]);
    for (const [name, m] of model.namedModules()) {
      if (!(m instanceof nn.Conv2d || m instanceof nn.BatchNorm2d)) continue;
      const layer = layers.find((l) => l.layer === name);
      expect(layer?.forward.calls, name).toBeGreaterThan(0);
      expect(layer?.backward.calls, name).toBeGreaterThan(0);
    }
    const update = layers.find((l) => l.layer === UPDATE);
    expect([update?.calls, update?.forward.calls]).toEqual([1, 0]);
  });

  it("is null before a compiled step has run", async () => {
    await wave([3]).sin().data();
    expect(await (await gpuBackend()).profile(1)).toBeNull();
  });

  it.each(["device", "host"] as const)(
    "by the %s's clock runs the step as often as asked, to the same bits as plain runs",
    async (clock) => {
      const plain = training();
      for (let i = 0; i < 4; i++) await plain.run();
      const wanted = await snapshot(plain.model);
      await close();
      await open({ seed: 5, dawn: [FINE_CLOCK] });
      const backend = await gpuBackend();
      if (clock === "host") (backend.gpu.features as Set<string>).delete("timestamp-query");
      const { model, run } = training();
      await run();
      const profile = (await backend.profile(3)) as Profile;
      expect(profile.clock).toBe(clock);
      expect(total([profile]).ms).toBeGreaterThan(0);
      // What the host counts is not the device's matter.
      const onDevice = ([name]: [string, unknown]) => !name.endsWith("num_batches_tracked");
      expect([...(await snapshot(model))].filter(onDevice)).toEqual([...wanted].filter(onDevice));
    },
  );
});
