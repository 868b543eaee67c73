// Runs one placed call of one op by hand, with the dispatches that the kernel gives for it: operands where the plan has
// them (offsets, rows apart), in buffers of their own. Everything outside of the operands, and the outputs before the
// run, is poisoned, so that a value never written or written beside the output is seen.

import { readdirSync, readFileSync } from "node:fs";
import type { HostArray } from "../src/core/dtype.ts";
import { numel } from "../src/core/shape.ts";
import { BufferStore, type DeviceBuffer, type Gpu } from "../src/gpu/buffers.ts";
import { type Command, Commander } from "../src/gpu/commands.ts";
import { PipelineCache } from "../src/gpu/pipelines.ts";
import { packUniforms, shaderInfo } from "../src/gpu/shader.ts";
import { loadShaders } from "../src/gpu/shader_source.ts";
import type { AnyOp, Bound, Call, Dispatch, Kernel, Operand } from "../src/graph/op.ts";

/** Quiet NaNs with payloads that arithmetic only passes on: outputs before a run, and what lies beside inputs. */
const POISON = 0x7fc5a5a5;
const BESIDE = 0x7fc3c3c3;

/** Output of a run: its values in order, and how many words beside it have changed. */
export interface Output {
  readonly bytes: ArrayBuffer;
  readonly unwritten: number;
  readonly spilled: number;
}

export interface Prepared {
  /** Dispatches the kernel that often and waits for the device. */
  run(repeats: number): Promise<void>;
  output(index: number): Promise<Output>;
  close(): void;
}

const FOLDER = new URL("./shaders/", import.meta.url);

function ownShaders(): [string, string][] {
  const names = readdirSync(FOLDER).filter((f) => f.endsWith(".wgsl"));
  return names.map((f) => [f.slice(0, -5), readFileSync(new URL(f, FOLDER), "utf8")]);
}

export class Runner {
  readonly gpu: Gpu;
  readonly #buffers: BufferStore;
  readonly #pipelines: PipelineCache;
  readonly #commander: Commander;

  constructor(gpu: Gpu, sources: ReadonlyMap<string, string>) {
    this.gpu = gpu;
    this.#buffers = new BufferStore(gpu);
    this.#pipelines = new PipelineCache(gpu, sources);
    this.#commander = new Commander(gpu);
  }

  /** A runner that knows the engine's shaders and the benchmark's own. */
  static async open(gpu: Gpu): Promise<Runner> {
    return new Runner(gpu, new Map([...(await loadShaders()), ...ownShaders()]));
  }

  /** Makes a call ready; `inputs` are dense, in the order of the call's operands. */
  async prepare(op: AnyOp, kernel: Kernel, call: Call, inputs: readonly HostArray[]): Promise<Prepared> {
    const ins = call.inputs.map((o, i) => this.#operand(o, inputs[i]));
    const outs = call.outputs.map((o, k) => {
      const from = kernel.inPlace?.find(([out]) => out === k);
      return this.#operand(o, from && inputs[from[1]] ? inputs[from[1]] : null, POISON);
    });
    const scratch = new Map(
      Object.entries(kernel.scratch?.(call) ?? {}).map(([n, size]) => [
        n,
        this.#buffers.storage(n, size * 4),
      ]),
    );
    const bufferOf = (b: Bound): DeviceBuffer =>
      "in" in b ? ins[b.in] : "out" in b ? outs[b.out] : (scratch.get(b.scratch) as DeviceBuffer);
    const made = [...ins, ...outs, ...scratch.values()];
    const commands: Command[] = [];
    for (const d of kernel.dispatches(call)) {
      const { command, uniform } = await this.#dispatch(op, d, bufferOf);
      commands.push(command);
      made.push(uniform);
    }
    return {
      run: (repeats) => this.#run(commands, repeats),
      output: (k) => this.#collect(call.outputs[k], outs[k]),
      close: () => {
        for (const b of made) this.#buffers.destroy(b);
      },
    };
  }

  async #dispatch(
    op: AnyOp,
    d: Dispatch,
    bufferOf: (b: Bound) => DeviceBuffer,
  ): Promise<{ command: Command; uniform: DeviceBuffer }> {
    const specialisation = { params: d.params, types: d.types, hooks: d.hooks };
    const pipeline = await this.#pipelines.get(d.shader, specialisation, Object.keys(d.bind));
    const info = shaderInfo(d.shader, this.#pipelines.sources);
    const bytes = new Uint8Array(info.size);
    packUniforms(d.shader, info, d.uniforms, new DataView(bytes.buffer));
    const uniform = this.#buffers.uniform("sizes", info.size);
    this.#buffers.write(uniform, 0, bytes);
    const whole = (buffer: DeviceBuffer, size = buffer.size) => ({ buffer, offset: 0, size });
    const ranges = Object.fromEntries(Object.entries(d.bind).map(([n, b]) => [n, whole(bufferOf(b))]));
    const group = this.#commander.bind(pipeline, { ...ranges, u: whole(uniform, info.size) });
    return { command: { kind: "dispatch", pipeline, group, grid: d.grid, label: op.name, cost: 0 }, uniform };
  }

  async #run(commands: readonly Command[], repeats: number): Promise<void> {
    this.#commander.run(Array.from({ length: repeats }, () => commands).flat());
    await this.#commander.drain();
    this.gpu.check();
  }

  #operand(o: Operand, data: HostArray | null, beside = BESIDE): DeviceBuffer {
    const words = new Uint32Array(length(o)).fill(beside);
    const bits = data && new Uint32Array(data.buffer, data.byteOffset, data.length);
    if (bits) forEachRow(o, (flat, at, count) => words.set(bits.subarray(flat, flat + count), at));
    const buffer = this.#buffers.storage("operand", words.byteLength);
    this.#buffers.write(buffer, 0, words);
    return buffer;
  }

  async #collect(o: Operand, buffer: DeviceBuffer): Promise<Output> {
    const words = new Uint32Array(await this.#buffers.read(buffer, 0, length(o) * 4));
    const data = new Uint32Array(numel(o.shape));
    forEachRow(o, (flat, at, count) => {
      data.set(words.subarray(at, at + count), flat);
      words.fill(POISON, at, at + count);
    });
    const unwritten = poisoned(data);
    return { bytes: data.buffer, unwritten, spilled: words.length - poisoned(words) };
  }
}

function poisoned(words: Uint32Array): number {
  let n = 0;
  for (let i = 0; i < words.length; i++) if (words[i] === POISON) n++;
  return n;
}

/** Words of the buffer behind an operand, with a margin behind it. */
const length = (o: Operand): number => o.offset + (o.shape.length === 0 ? 1 : o.shape[0] * o.batchStride) + 8;

/** Calls `f` for every row of axis 0: where it is in dense order, where it lies, how long it is. */
function forEachRow(o: Operand, f: (flat: number, at: number, count: number) => void): void {
  const row = o.shape.length === 0 ? 1 : numel(o.shape.slice(1));
  const rows = o.shape.length === 0 ? 1 : o.shape[0];
  for (let r = 0; r < rows; r++) f(r * row, o.offset + r * o.batchStride, row);
}
