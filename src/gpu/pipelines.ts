// Pipelines by specialised text: made once, asynchronously, with explicit bind-group layouts. A binding that no hook
// mentions is left out of the layout, so optional operands cost nothing.

import { debugLevel } from "../core/env.ts";
import { DeviceError, messageOf } from "../core/error.ts";
import type { Gpu } from "./device.ts";
import { type Binding, type Specialisation, shaderInfo, specialise } from "./shader.ts";

export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly bindings: readonly Binding[];
}

const ENTRY: Readonly<Record<Binding["access"], GPUBufferBindingType>> = {
  uniform: "uniform",
  read: "read-only-storage",
  read_write: "storage",
};

export class PipelineCache {
  /** How many pipelines have been made. */
  count = 0;
  readonly #gpu: Gpu;
  readonly #sources: ReadonlyMap<string, string>;
  readonly #known = new Map<string, Promise<Pipeline>>();

  constructor(gpu: Gpu, sources: ReadonlyMap<string, string>) {
    this.#gpu = gpu;
    this.#sources = sources;
  }

  /** The pipeline of a shader with these values and these variables bound. */
  get(shader: string, s: Specialisation, bound: readonly string[]): Promise<Pipeline> {
    const text = specialise(shader, this.#sources, s);
    const key = `${bound.join(",")}|${text}`;
    let made = this.#known.get(key);
    if (!made) {
      made = this.#make(shader, text, bound);
      this.#known.set(key, made);
    }
    return made;
  }

  async #make(shader: string, text: string, bound: readonly string[]): Promise<Pipeline> {
    const { device } = this.#gpu;
    if (debugLevel() >= 4) console.error(text);
    this.count++;
    const wanted = new Set(["u", ...bound]);
    const bindings = shaderInfo(shader, this.#sources).bindings.filter((b) => wanted.has(b.name));
    if (bindings.length !== wanted.size)
      throw new Error(`${shader}.wgsl: cannot bind ${[...wanted].join(", ")}`);
    const entries = bindings.map((b) => ({
      binding: b.index,
      visibility: 4,
      buffer: { type: ENTRY[b.access] },
    }));
    const { layout, module, made } = this.#gpu.guard(() => {
      const layout = device.createBindGroupLayout({ label: shader, entries });
      const module = device.createShaderModule({ label: shader, code: text });
      const made = device.createComputePipelineAsync({
        label: shader,
        layout: device.createPipelineLayout({ label: shader, bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: "main" },
      });
      return { layout, module, made };
    });
    try {
      return { pipeline: await made, layout, bindings };
    } catch (error) {
      throw new DeviceError(await compileMessage(shader, module, error));
    }
  }

  get sources(): ReadonlyMap<string, string> {
    return this.#sources;
  }
}

/** Messages with the line numbers of the .wgsl file. */
async function compileMessage(shader: string, module: GPUShaderModule, error: unknown): Promise<string> {
  const { messages } = await module.getCompilationInfo();
  const lines = messages.map((m) => `  ${shader}.wgsl:${m.lineNum}:${m.linePos} ${m.message}`);
  return [`${shader}.wgsl does not compile: ${messageOf(error).split("\n")[0]}`, ...lines].join("\n");
}
