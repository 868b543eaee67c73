// Every .wgsl file compiles as it stands, without being specialised.

import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/buffers.ts";
import { openDevice } from "../../src/gpu/device.ts";
import { loadShaders } from "../../src/gpu/shader_source.ts";

const names = readdirSync(new URL("../../shaders/", import.meta.url)).map((f) => f.replace(".wgsl", ""));
let gpu: Gpu;
beforeAll(async () => {
  gpu = await openDevice();
});
afterAll(() => gpu.close());

describe("shaders", () => {
  it.each(names)("%s.wgsl is valid", async (name) => {
    const sources = await loadShaders();
    gpu.device.pushErrorScope("validation");
    const module = gpu.device.createShaderModule({ code: sources.get(name) as string });
    const info = await module.getCompilationInfo();
    const error = await gpu.device.popErrorScope();
    expect(info.messages.map((m) => `${m.lineNum}: ${m.message}`)).toEqual([]);
    expect(error?.message ?? "").toBe("");
  });
});
