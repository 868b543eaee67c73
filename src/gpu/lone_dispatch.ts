// A dispatch that no plan stands behind: what measures the device, or one kernel, makes it ready here.

import { BufferStore, type DeviceBuffer } from "./buffers.ts";
import { type BoundRange, Commander, type DispatchCommand } from "./commands.ts";
import type { Gpu } from "./device.ts";
import { PipelineCache } from "./pipelines.ts";
import { packUniforms, type Specialisation, shaderInfo } from "./shader.ts";

/** What makes commands ready and runs them. */
export interface Tools {
  readonly gpu: Gpu;
  readonly buffers: BufferStore;
  readonly pipelines: PipelineCache;
  readonly commander: Commander;
}

/** Tools of their own; `sources` are shader texts by file stem. */
export function openTools(gpu: Gpu, sources: ReadonlyMap<string, string>): Tools {
  return {
    gpu,
    buffers: new BufferStore(gpu),
    pipelines: new PipelineCache(gpu, sources),
    commander: new Commander(gpu),
  };
}

export interface LoneDispatch extends Specialisation {
  readonly shader: string;
  /** Fields of the shader's Sizes. */
  readonly uniforms: Readonly<Record<string, number | readonly number[]>>;
  readonly grid: readonly [number, number, number];
}

/** The command, and the buffer of its sizes, which is the caller's to destroy. `ranges` are those of all bindings but u. */
export async function loneDispatch(
  { buffers, pipelines, commander }: Tools,
  label: string,
  { shader, params, types, hooks, uniforms, grid }: LoneDispatch,
  ranges: Readonly<Record<string, BoundRange>>,
): Promise<{ command: DispatchCommand; sizes: DeviceBuffer }> {
  const pipeline = await pipelines.get(shader, { params, types, hooks }, Object.keys(ranges));
  const info = shaderInfo(shader, pipelines.sources);
  const bytes = new Uint8Array(info.size);
  packUniforms(shader, info, uniforms, new DataView(bytes.buffer));
  const sizes = buffers.uniform("sizes", info.size);
  buffers.write(sizes, 0, bytes);
  const group = commander.bind(pipeline, { ...ranges, u: { buffer: sizes, offset: 0, size: info.size } });
  return { command: { kind: "dispatch", pipeline, group, grid, label, cost: 0 }, sizes };
}
