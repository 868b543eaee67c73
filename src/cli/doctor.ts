// thaw doctor: what this machine offers, whether it computes rightly, what is missing and how to get it.

import { messageOf, ThawError } from "../core/error.ts";
import { adapterName, noAdapter } from "../gpu/device.ts";
import { type AdapterReport, surveyAdapters } from "../gpu/survey.ts";
import { list } from "../models/index.ts";
import { Conv2d, functional } from "../nn/index.ts";
import { tensor } from "../tensor/functions.ts";
import { init, manualSeed } from "../tensor/session.ts";
import { softwareVersions } from "../train/run_folder.node.ts";
import { cacheFolder, findKnown, manifest } from "../weights/known.node.ts";
import { command } from "./command.ts";
import type { Output } from "./output.ts";

/** One line of the report; `help` says what to do where it is not well. */
interface Finding {
  readonly check: string;
  readonly ok: boolean;
  readonly text: string;
  readonly help?: string;
}

export const doctor = command({
  name: "doctor",
  usage: "[options]",
  about: "what this machine offers, a self-test, what is missing and how to get it",
  options: {},
  arguments: { least: 0, most: 0 },
  async run({ out }) {
    const { adapters, failed } = await surveyed();
    const versions = await softwareVersions();
    const findings = [
      node(),
      installed("webgpu", versions.webgpu, "without it there is no GPU in Node; npm install webgpu"),
      installed("sharp", versions.sharp, "without it pictures cannot be decoded; npm install sharp"),
      adapterFinding(adapters, failed),
      adapters.length > 0 ? await selfTest() : null,
      await weightsFinding(),
    ].filter((f) => f !== null);
    for (const a of adapters) tellAdapter(out, a);
    for (const f of findings)
      out.result(
        { event: "check", ...f },
        `${f.ok ? "✓" : "✗"} ${f.text}${!f.ok && f.help ? `\n  → ${f.help}` : ""}`,
      );
    const bad = findings.filter((f) => !f.ok && f.check !== "weights");
    out.result({ event: "done", ok: bad.length === 0 }, bad.length === 0 ? "Thaw can work here." : "");
    if (bad.length > 0)
      throw new ThawError(`${bad.map((f) => f.check).join(", ")}: not as it should be, see above`);
  },
});

async function surveyed(): Promise<{ adapters: AdapterReport[]; failed: string | null }> {
  try {
    return { adapters: await surveyAdapters(), failed: null };
  } catch (error) {
    return { adapters: [], failed: messageOf(error) };
  }
}

function node(): Finding {
  const [major, minor] = process.versions.node.split(".").map(Number);
  const ok = major > 22 || (major === 22 && minor >= 18);
  return {
    check: "node",
    ok,
    text: `Node ${process.versions.node}${ok ? "" : " is older than 22.18"}`,
    help: "install Node 22.18 or newer",
  };
}

function installed(name: string, version: string | undefined, help: string): Finding {
  const text = version ? `${name} ${version}` : `the package ${name} is not installed`;
  return { check: name, ok: version !== undefined, text, help };
}

function adapterFinding(adapters: readonly AdapterReport[], failed: string | null): Finding {
  const [first] = adapters;
  if (!first) {
    const text = failed ?? "no GPU adapter";
    return { check: "adapter", ok: false, text, help: noAdapter() };
  }
  const slow = first.adapter.software ? " (computes on the CPU: right, but slow)" : "";
  return { check: "adapter", ok: true, text: `adapter: ${adapterName(first.adapter)}${slow}` };
}

function tellAdapter(out: Output, { adapter, asked, limits, features }: AdapterReport): void {
  const size = (n: number) => (n >= 2 ** 20 ? `${+(n / 2 ** 20).toFixed(1)} MiB` : String(n));
  const lines = [
    out.strong(adapterName(adapter)),
    `  ${[adapter.vendor, adapter.architecture].filter(Boolean).join(" ")}; asked for as ${asked.join(", ")}`,
    ...Object.entries(limits).map(([name, n]) => `  ${name} ${size(n)}`),
    `  features: ${features.join(", ")}`,
    "",
  ];
  out.result({ event: "adapter", ...adapter, asked, limits, features }, lines.join("\n"));
}

/** A convolution with its gradients, on the adapter and in float64 on the CPU. */
async function selfTest(): Promise<Finding> {
  const check = "self-test";
  try {
    const began = performance.now();
    const gpu = await convolve(undefined);
    const seconds = (performance.now() - began) / 1000;
    const exact = await convolve("cpu");
    const off = Math.max(...gpu.map((v, i) => Math.abs(v - exact[i])));
    const largest = Math.max(...exact.map(Math.abs));
    // Sums of at most 108 products in float32: DESIGN's bound is 4·u·√terms of the magnitudes, which exceed the result.
    const ok = off <= 1e-5 * largest && largest > 0;
    const text = `self-test: a convolution and its gradients differ from float64 by ${off.toExponential(1)} at values up to ${largest.toFixed(1)} (${seconds.toFixed(1)} s)`;
    return { check, ok, text, help: "the driver computes wrongly: update it, or use another adapter" };
  } catch (error) {
    return { check, ok: false, text: `self-test: ${messageOf(error)}`, help: "update the graphics driver" };
  }
}

async function convolve(device: "cpu" | undefined): Promise<number[]> {
  await init({ device });
  manualSeed(1);
  const conv = new Conv2d(3, 8, 3, { padding: 1 });
  const x = tensor(
    Float32Array.from({ length: 2 * 3 * 12 * 12 }, (_, i) => Math.sin(i)),
    [2, 3, 12, 12],
  );
  x.requiresGrad = true;
  const labels = tensor(Int32Array.of(1, 6));
  const loss = functional.crossEntropy(conv.forward(x).relu().mean([2, 3]).mul(100), labels);
  loss.backward();
  const parts = [loss, x.grad, conv.weight.grad, conv.bias?.grad];
  const out: number[] = [];
  for (const t of parts) if (t) out.push(...((await t.data()) as Float32Array));
  return out;
}

async function weightsFinding(): Promise<Finding> {
  const known = await manifest();
  const here: string[] = [];
  for (const name of list()) {
    const entry = known.get(`${name}/imagenet`);
    if (entry && (await findKnown(entry)).present) here.push(name);
  }
  return {
    check: "weights",
    ok: here.length > 0,
    text: here.length > 0 ? `ImageNet weights of ${here.join(", ")}` : "no ImageNet weights on this machine",
    help: `thaw weights pull densenet121, or put densenet121-a639ec97.pth into ${cacheFolder()}`,
  };
}
