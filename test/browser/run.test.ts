// A run that a page loads from a URL, and everything that a page may give it to classify.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle } from "../../scripts/bundle.ts";
import { close, init, models, weights } from "../../src/index.ts";
import { exportState } from "../../src/nn/index.ts";
import { fillUniform } from "../lib/pictures_noise.ts";
import { inPage, launch, NO_CHROMIUM, serve } from "./chromium.ts";

const SIDE = 40;
const info = {
  ...{ format: 1, status: "finished", classes: ["cat", "dog"], metrics: {} },
  options: { model: "densenet_mini", seed: 0 },
  model: { name: "densenet_mini", head: "linear" },
  preprocessing: {
    resize: 32,
    crop: 32,
    interpolation: "bilinear",
    mean: [0.5, 0.5, 0.5],
    std: [0.2, 0.2, 0.2],
  },
  data: { folder: "/pictures", fingerprint: "f" },
};

describe.skipIf(NO_CHROMIUM)(`a run in Chromium${NO_CHROMIUM ? ` (${NO_CHROMIUM})` : ""}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "thaw-page-"));
  let server: Awaited<ReturnType<typeof serve>>;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    await init({ device: "cpu", seed: 4 });
    const model = models.densenet_mini({ numClasses: 2 });
    const state = (await exportState(model)) as Map<string, weights.WriteEntry>;
    await close();
    const raw = { width: SIDE, height: SIDE, channels: 3 } as const;
    const png = sharp(fillUniform(SIDE * SIDE * 3, 1), { raw }).png();
    const { file } = await bundle(folder);
    server = await serve({
      "/page.html": '<!doctype html><link rel="icon" href="data:,"><title>Thaw</title>',
      "/thaw.js": readFileSync(file),
      "/run/run.json": JSON.stringify(info),
      "/run/model.safetensors": weights.writeSafetensors(state),
      "/later/run.json": JSON.stringify({ ...info, format: 99 }),
      "/picture.png": new Uint8Array(await png.toBuffer()),
    });
    browser = await launch();
    page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.port}/page.html`);
  });
  afterAll(async () => {
    await browser?.close();
    server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("classifies files, images, bitmaps, canvases and pixels alike", async () => {
    const seen = await inPage<Record<string, number>>(
      page,
      `const run = await thaw.loadRun("/run/?v=2#top");
      const blob = await (await fetch("/picture.png")).blob();
      const image = new Image();
      image.src = "/picture.png";
      await image.decode();
      image.width = 7; // how large it is shown does not matter
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [${SIDE}, ${SIDE}];
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      const off = new OffscreenCanvas(${SIDE}, ${SIDE});
      off.getContext("2d").drawImage(image, 0, 0);
      const pixels = context.getImageData(0, 0, ${SIDE}, ${SIDE});
      const rgb = Uint8Array.from(pixels.data.filter((_, i) => i % 4 < 3));
      const inputs = { blob, image, canvas, off, pixels, bytes: new Uint8Array(await blob.arrayBuffer()),
        bitmap: await createImageBitmap(blob), rgb: { data: rgb, width: ${SIDE}, height: ${SIDE} } };
      const out = {};
      for (const [name, input] of Object.entries(inputs)) {
        const { top } = await run.predict(input);
        out[name] = top.find((t) => t.class === "cat").p;
      }
      await thaw.close();
      return out;`,
    );
    expect(Object.keys(seen)).toHaveLength(8);
    expect(new Set(Object.values(seen)).size, JSON.stringify(seen)).toBe(1);
    expect(seen["rgb"]).toBeGreaterThan(0);
  });

  it("says in one sentence what it cannot load or classify", async () => {
    const seen = await inPage<string[]>(
      page,
      `const run = await thaw.loadRun(new URL("/run", location.href));
      const said = (p) => p.then(() => "nothing", (e) => e.name + ": " + e.message);
      const all = [
        await said(thaw.loadRun("")),
        await said(thaw.loadRun("/nowhere?v=1")),
        await said(thaw.loadRun("/later")),
        await said(run.predict("picture.png")),
        await said(run.predict(new Blob(["no picture"]))),
        await said(run.predict(new Image())),
        await said(run.predict({})),
        await said(run.predict(undefined)),
      ];
      await thaw.close();
      return all;`,
    );
    const expected = [
      /^UsageError: the run is an empty text: expected its folder or URL$/,
      /^DataError: \/nowhere\/run\.json\?v=1 could not be fetched: 404/,
      /^DataError: \/later\/run\.json has format 99/,
      /^UsageError: picture\.png: there are no paths in a page; fetch the picture/,
      /^DataError: the picture cannot be decoded by this browser$/,
      /^DataError: the picture has no pixels: wait until it is loaded/,
      /^UsageError: predict: expected a path/,
      /^UsageError: predict: expected a path/,
    ];
    for (const [i, says] of expected.entries()) expect(seen[i]).toMatch(says);
  });
});
