// The bundle in headless Chromium: a convolution forward and backward, three training steps, weight files, and what a
// page without WebGPU is told. On one SwiftShader, Chromium and Node must agree bit for bit.
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Browser, Page } from "playwright-core";
import { transformWithOxc } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle } from "../../scripts/bundle.ts";
import { UNIT } from "../../src/core/accuracy.ts";
import { weights } from "../../src/index.ts";
import { INSECURE_HOST, inPage, launch, NO_CHROMIUM, SWIFTSHADER, serve } from "./chromium.ts";
import { type Bits, CONVOLUTIONS } from "./scenario.ts";

interface Outcome {
  readonly adapter: string;
  readonly bits: Bits;
}

const here = (name: string) => new URL(name, import.meta.url);
const fixture = readFileSync(here("../fixtures/weights/nested.zip.pt"));
const arrays = weights.writeSafetensors({
  "layer.weight": { dtype: "f32", shape: [2, 3], data: Float32Array.of(1, -0, 3.5, NaN, Infinity, 1e-40) },
  steps: { dtype: "i64", shape: [], data: BigInt64Array.of(-(2n ** 60n)) },
});

/** Entries as text, so that values survive the way out of the page: BigInts, NaN and -0. */
const SHOW = `(file) => [...file].map(([name, t]) => [name, t.dtype, t.shape.join(), t.data.constructor.name,
  [...t.data].map((v) => Object.is(v, -0) ? "-0" : String(v)).join()].join(" "))`;
// biome-ignore lint/security/noGlobalEval: the same text runs in the page.
const show = globalThis.eval(SHOW) as (file: weights.Weights) => string[];

/** The scenario in a process of its own, on the driver that `icd` describes or on the default one. */
async function inNode(device: "gpu" | "cpu", icd?: string): Promise<Outcome> {
  const driver = icd ? { VK_DRIVER_FILES: icd, VK_ICD_FILENAMES: icd } : {};
  const { stdout } = await promisify(execFile)(process.execPath, [here("in_node.ts").pathname, device], {
    env: { ...process.env, ...driver },
    maxBuffer: 2 ** 26,
  });
  return JSON.parse(stdout);
}

const floats = (bits: readonly number[]) => new Float32Array(Uint32Array.from(bits).buffer);

/** DESIGN §4's bound for a convolution's part: 4·u·√terms·mag, where no factor is beyond 1/2. */
function convBound(name: string, all: Bits): number {
  const [, title, part] = /^(.*) (\w+)$/.exec(name) as RegExpExecArray;
  const { x, w } = CONVOLUTIONS[title];
  const taps = w[1] * w[2] * w[3];
  const positions = all[`${title} y`].length / w[0];
  const outputsPerInput = (taps * w[0]) / x[1];
  const [terms, mag] = {
    y: [taps + 1, taps / 4 + 1 / 2],
    dx: [outputsPerInput, outputsPerInput / 4],
    dw: [positions, positions / 4],
    db: [positions, positions / 2],
  }[part] as [number, number];
  return 4 * UNIT * Math.sqrt(terms) * mag;
}

/** Convolutions by DESIGN §4; losses and trained state by §7: 1e-4, and 3e-4 of a tensor's norm. */
function expectClose(got: Bits, want: Bits, implementations: number): void {
  expect(Object.keys(got)).toEqual(Object.keys(want));
  for (const [name, wanted] of Object.entries(want)) {
    const [a, b] = [floats(got[name]), floats(wanted)];
    expect(a.length, name).toBe(b.length);
    const far = a.map((v, i) => Math.abs(v - b[i]));
    if (name.startsWith("loss")) expect(far[0], name).toBeLessThanOrEqual(1e-4 * b[0]);
    else if (name.startsWith("state"))
      expect(Math.hypot(...far), name).toBeLessThanOrEqual(3e-4 * Math.hypot(...b));
    else expect(Math.max(...far), name).toBeLessThanOrEqual(implementations * convBound(name, want));
  }
}

// The names of skipped tests are not printed.
if (NO_CHROMIUM) console.warn(`browser tests ${NO_CHROMIUM}`);

describe.skipIf(NO_CHROMIUM)(`the bundle in Chromium${NO_CHROMIUM ? ` (${NO_CHROMIUM})` : ""}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "thaw-page-"));
  let server: Awaited<ReturnType<typeof serve>>;
  let browser: Browser;
  let page: Page;
  let outcome: Outcome;

  beforeAll(async () => {
    const scenario = here("scenario.ts").pathname;
    const { file } = await bundle(folder);
    server = await serve({
      "/page.html": '<!doctype html><link rel="icon" href="data:,"><title>Thaw</title>',
      "/thaw.js": readFileSync(file),
      "/scenario.js": (await transformWithOxc(readFileSync(scenario, "utf8"), scenario)).code,
      "/arrays.safetensors": arrays,
      "/nested.zip.pt": fixture,
    });
    browser = await launch();
    page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.port}/page.html`);
    outcome = await inPage<Outcome>(
      page,
      `const { scenario } = await import("/scenario.js");
      await thaw.init();
      const { info } = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
      const bits = await scenario(thaw);
      await thaw.close();
      return { adapter: info.architecture, bits };`,
    );
  });
  afterAll(async () => {
    await browser?.close();
    server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("runs convolutions forward and backward and three training steps within the bounds of float64", async () => {
    expect(outcome.adapter).toBe("swiftshader");
    expectClose(outcome.bits, (await inNode("cpu")).bits, 1);
  });

  const noDriver = SWIFTSHADER ? "" : " (not run: Chromium's SwiftShader was not found)";
  it.skipIf(!SWIFTSHADER)(`is bit-identical to Node on the same SwiftShader${noDriver}`, async () => {
    const node = await inNode("gpu", SWIFTSHADER);
    expect(node.adapter).toMatch(/SwiftShader/);
    expect(outcome.bits).toEqual(node.bits);
  });

  it("agrees with Node on its default adapter within the bounds", async () => {
    // Each of the two may be that far from exact.
    expectClose(outcome.bits, (await inNode("gpu")).bits, 2);
  });

  it("gives the same numbers again in a fresh page", async () => {
    const other = await browser.newPage();
    await other.goto(`http://127.0.0.1:${server.port}/page.html`);
    const again = await inPage<Bits>(
      other,
      `const { scenario } = await import("/scenario.js");
      const bits = await scenario(thaw);
      await thaw.close();
      return bits;`,
    );
    await other.close();
    expect(again).toEqual(outcome.bits);
  });

  it("keeps in IndexedDB what it has measured, and does not measure it again", async () => {
    const seen = await inPage<{ kernels: string[][]; first: string; second: string }>(
      page,
      `const stored = () => new Promise((resolve, reject) => {
        const opening = indexedDB.open("thaw-tuning");
        opening.onerror = () => reject(opening.error);
        opening.onsuccess = () => {
          const all = opening.result.transaction("calls").objectStore("calls").getAll();
          all.onsuccess = () => { opening.result.close(); resolve(all.result); };
        };
      });
      const run = async () => {
        await thaw.init({ tune: "on" });
        const x = thaw.tensor(new Float32Array(768).fill(3), [32, 24]);
        await x.sum(1).data();
        await thaw.close();
        return stored();
      };
      const first = await run();
      const second = await run();
      const kernels = first.map((r) => r.measured.map((m) => m.kernel + " " + m.verdict));
      return { kernels, first: JSON.stringify(first), second: JSON.stringify(second) };`,
    );
    expect(seen.kernels.flat()).toContain("tree timed");
    expect(seen.kernels[0].length).toBeGreaterThan(1);
    expect(seen.second).toBe(seen.first);
  });

  it("reads safetensors and PyTorch files that the page fetched, and refuses a path in one sentence", async () => {
    const seen = await inPage<Record<string, string[]>>(
      page,
      `const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
      const show = ${SHOW};
      const { tensors } = thaw.weights.readSafetensors(await bytes("/arrays.safetensors"));
      const torch = await thaw.weights.read(await bytes("/nested.zip.pt"));
      const path = await thaw.weights.read("model.pt").catch((e) => [e.name, e.message]);
      return { safetensors: show(tensors), torch: show(torch), path };`,
    );
    expect(seen.safetensors).toEqual(show(weights.readSafetensors(arrays).tensors));
    expect(seen.torch).toEqual(show(await weights.read(fixture)));
    expect(seen.torch.length).toBeGreaterThan(3);
    expect(seen.path).toEqual([
      "UsageError",
      "weights: model.pt: there are no paths in a browser; fetch the file and pass its bytes",
    ]);
  });

  /** Name and message of what `init` throws in a page. */
  const refusal = (p: Page) =>
    inPage<string[]>(p, "return thaw.init().then(() => [], (e) => [e.name, e.message]);");

  it("names what is missing: a secure page, WebGPU itself, an adapter", async () => {
    const insecure = await browser.newPage();
    await insecure.goto(`http://${INSECURE_HOST}:${server.port}/page.html`);
    expect(await refusal(insecure)).toEqual([
      "DeviceError",
      "no WebGPU here: this page is not secure, so the browser hides it; serve the page over https or from localhost",
    ]);
    await insecure.addInitScript("delete Navigator.prototype.gpu");
    await insecure.goto(`http://127.0.0.1:${server.port}/page.html`);
    expect(await refusal(insecure)).toEqual([
      "DeviceError",
      "no WebGPU here: this browser has no navigator.gpu; use a current Chrome, Edge, Firefox or Safari",
    ]);
    const bare = await launch("--disable-software-rasterizer");
    const without = await bare.newPage();
    await without.goto(`http://127.0.0.1:${server.port}/page.html`);
    expect(await refusal(without)).toEqual([
      "DeviceError",
      "no usable GPU adapter was found: update the graphics driver, and check that the browser may use the GPU (hardware acceleration)",
    ]);
    await bare.close();
  });
});
