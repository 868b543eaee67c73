// Runs one kernel of one op by hand, its operands placed as asked: dense, or as views (an offset, rows apart) into
// larger, poisoned buffers. Below the schedule, so that nothing hides what a kernel does.
import type { HostArray } from "../../src/core/dtype.ts";
import { viewBytes } from "../../src/core/dtype.ts";
import { numel } from "../../src/core/shape.ts";
import { BufferStore, type DeviceBuffer, type Gpu } from "../../src/gpu/buffers.ts";
import { Commander } from "../../src/gpu/commands.ts";
import { PipelineCache } from "../../src/gpu/pipelines.ts";
import { packUniforms, shaderInfo } from "../../src/gpu/shader.ts";
import { loadShaders } from "../../src/gpu/shader_source.ts";
import { type NDArray, toHost } from "../../src/graph/array.ts";
import type { AnyOp, Bound, Call, Kernel, Operand, Params } from "../../src/graph/op.ts";

/** A quiet NaN with a payload that no arithmetic makes: an element that still has it was never written. */
export const POISON = 0x7fc5a5a5;

export interface Layout {
  readonly offset: number;
  /** Elements between the end of a row of axis 0 and the next row. */
  readonly gap: number;
}

export class KernelBench {
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

  static async open(gpu: Gpu): Promise<KernelBench> {
    return new KernelBench(gpu, await loadShaders());
  }

  get pipelines(): number {
    return this.#pipelines.count;
  }

  /** Operands of a call placed with the layout; u8 stays dense. */
  operands(types: readonly NDArray[], layout: Layout): Operand[] {
    return types.map((t) => {
      const row = t.shape.length === 0 ? 1 : numel(t.shape.slice(1));
      const gap = t.shape.length < 2 || t.dtype === "u8" ? 0 : layout.gap;
      return { shape: t.shape, dtype: t.dtype, offset: layout.offset, batchStride: row + gap };
    });
  }

  /** Runs the kernel and returns its outputs, each with the number of elements outside of the view that it changed. */
  async run(
    op: AnyOp,
    kernel: Kernel,
    params: Params,
    inputs: readonly NDArray[],
    outTypes: readonly NDArray[],
    attrs: Call["attrs"],
    layout: Layout,
  ): Promise<{ data: HostArray; spilled: number }[]> {
    const [ins, outs] = [
      this.operands(inputs, layout),
      this.operands(outTypes, op.denseOutput ? { ...layout, gap: 0 } : layout),
    ];
    const call: Call = { inputs: ins, outputs: outs, attrs, device: this.gpu.traits, params };
    const made: DeviceBuffer[] = [];
    const buffer = (o: Operand, data: NDArray | null): DeviceBuffer => {
      const words = filled(o, data);
      const b = this.#buffers.storage("operand", words.byteLength);
      this.#buffers.write(b, 0, words);
      made.push(b);
      return b;
    };
    const inBuffers = ins.map((o, i) => buffer(o, inputs[i]));
    const outBuffers = outs.map((o, k) => {
      const from = kernel.inPlace?.find(([out]) => out === k);
      return buffer(o, from ? inputs[from[1]] : null);
    });
    const scratch = new Map(
      Object.entries(kernel.scratch?.(call) ?? {}).map(([n, size]) => {
        const words = new Uint32Array(Math.max(4, size)).fill(POISON);
        const b = this.#buffers.storage(n, words.byteLength);
        this.#buffers.write(b, 0, words);
        made.push(b);
        return [n, b] as const;
      }),
    );
    const bufferOf = (b: Bound) =>
      "in" in b ? inBuffers[b.in] : "out" in b ? outBuffers[b.out] : (scratch.get(b.scratch) as DeviceBuffer);
    const dispatches = kernel.dispatches(call);
    for (const d of dispatches) {
      const pipeline = await this.#pipelines.get(
        d.shader,
        { params: d.params, types: d.types, hooks: d.hooks },
        Object.keys(d.bind),
      );
      const info = shaderInfo(d.shader, this.#pipelines.sources);
      const bytes = new Uint8Array(info.size);
      packUniforms(d.shader, info, d.uniforms, new DataView(bytes.buffer));
      const uniform = this.#buffers.uniform("sizes", info.size);
      made.push(uniform);
      this.#buffers.write(uniform, 0, bytes);
      const ranges = Object.fromEntries(
        Object.entries(d.bind).map(([n, b]) => [
          n,
          { buffer: bufferOf(b), offset: 0, size: bufferOf(b).size },
        ]),
      );
      const group = this.#commander.bind(pipeline, {
        ...ranges,
        u: { buffer: uniform, offset: 0, size: info.size },
      });
      this.#commander.run([{ kind: "dispatch", pipeline, group, grid: d.grid, label: op.name, cost: 0 }]);
    }
    const results = [];
    for (let k = 0; k < outs.length; k++) results.push(await this.#collect(outs[k], outBuffers[k]));
    for (const b of made) this.#buffers.destroy(b);
    this.gpu.check();
    return results;
  }

  async #collect(o: Operand, buffer: DeviceBuffer): Promise<{ data: HostArray; spilled: number }> {
    const words = new Uint32Array(await this.#buffers.read(buffer, 0, buffer.size));
    const data = new Uint32Array(numel(o.shape));
    const inside = new Set<number>();
    forEachElement(o, (flat, at) => {
      data[flat] = words[at];
      inside.add(at);
    });
    let spilled = 0;
    for (let i = 0; i < length(o); i++) if (!inside.has(i) && words[i] !== POISON) spilled++;
    return { data: viewBytes(o.dtype, data.buffer, data.length), spilled };
  }
}

/** Words of the buffer behind an operand, with a margin behind it. */
const length = (o: Operand) => o.offset + (o.shape.length === 0 ? 1 : o.shape[0] * o.batchStride) + 8;

function forEachElement(o: Operand, f: (flat: number, at: number) => void): void {
  const row = o.shape.length === 0 ? 1 : numel(o.shape.slice(1));
  for (let i = 0; i < numel(o.shape); i++) f(i, o.offset + Math.floor(i / row) * o.batchStride + (i % row));
}

/** Poison everywhere, the data inside the view. */
function filled(o: Operand, data: NDArray | null): Uint32Array {
  if (o.dtype === "u8") return packedBytes(o, data as NDArray);
  const words = new Uint32Array(length(o)).fill(POISON);
  if (!data) return words;
  const own = toHost(data);
  const bits = new Uint32Array(own.buffer, 0, own.length);
  forEachElement(o, (flat, at) => {
    words[at] = bits[flat];
  });
  return words;
}

/** Bytes are inputs only; offsets and rows count bytes. */
function packedBytes(o: Operand, data: NDArray): Uint32Array {
  const bytes = new Uint8Array(Math.ceil(length(o) / 4) * 4).fill(0xa5);
  forEachElement(o, (flat, at) => {
    bytes[at] = data.data[flat];
  });
  return new Uint32Array(bytes.buffer);
}
