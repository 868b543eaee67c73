// Runs kernels of one op by hand, below the schedule, so that nothing hides what a kernel does: the tuner, the tests of
// the ops and the benchmark stand on it. A call is placed once (offsets, rows apart, as a plan has them) in buffers of its
// own; then any number of kernels run it. What lies beside the operands, and the outputs before a run, is poisoned, so
// that a value never written, or written beside the output, is seen.

import { type HostArray, viewBytes } from "../core/dtype.ts";
import { numel } from "../core/shape.ts";
import type { DeviceBuffer, Gpu } from "../gpu/buffers.ts";
import type { DispatchCommand } from "../gpu/commands.ts";
import { loneDispatch, openTools, type Tools } from "../gpu/lone_dispatch.ts";
import { loadShaders } from "../gpu/shader_source.ts";
import type { BareCall, Bound, Call, Dispatch, Kernel, Operand, Params } from "../graph/op.ts";
import { type Values, valuesOf } from "./verify.ts";

/** Quiet NaNs with payloads that no arithmetic makes: outputs before a run, and what lies beside inputs. */
export const POISON = 0x7fc5a5a5;
const BESIDE = 0x7fc3c3c3;

/** One output of a run: its values in dense order, how many were never written, how many words beside it changed. */
export interface Output {
  readonly data: HostArray;
  readonly unwritten: number;
  readonly spilled: number;
}

/** Tools for a bench that no backend stands behind; `more` are shaders beside the engine's. */
export async function benchTools(gpu: Gpu, more: Iterable<readonly [string, string]> = []): Promise<Tools> {
  return openTools(gpu, new Map([...(await loadShaders()), ...more]));
}

/** A call's operands in memory of their own. Throws OutOfMemory where one is larger than a buffer of the device. */
export class PlacedCall {
  readonly call: BareCall;
  readonly #d: Tools;
  readonly #inputs: readonly DeviceBuffer[];
  readonly #outputs: readonly DeviceBuffer[];
  /** The outputs' buffers poisoned, as they are before a run. */
  readonly #blank: readonly Uint32Array[];
  #data: readonly HostArray[] = [];

  constructor(devices: Tools, call: BareCall, inputs: readonly HostArray[]) {
    this.#d = devices;
    this.call = call;
    const made: DeviceBuffer[] = [];
    const buffer = (o: Operand) => {
      const b = devices.buffers.storage("operand", 4 * wordsOf(o));
      made.push(b);
      return b;
    };
    try {
      this.#inputs = call.inputs.map(buffer);
      this.#outputs = call.outputs.map(buffer);
    } catch (error) {
      for (const b of made) devices.buffers.destroy(b);
      throw error;
    }
    this.#blank = call.outputs.map((o) => laidOut(o, null, POISON));
    this.fill(inputs);
  }

  /** Replaces the inputs' values, dense and in the order of the call's operands. */
  fill(inputs: readonly HostArray[]): void {
    this.#data = inputs;
    this.call.inputs.forEach((o, i) => {
      this.#d.buffers.write(this.#inputs[i], 0, laidOut(o, inputs[i], BESIDE));
    });
  }

  /** Poisons the outputs; those computed in place get the input that the kernel expects there. */
  #reset(kernel: Kernel): void {
    this.call.outputs.forEach((o, k) => {
      const from = kernel.inPlace?.find(([out]) => out === k);
      const words = from ? laidOut(o, this.#data[from[1]], POISON) : this.#blank[k];
      this.#d.buffers.write(this.#outputs[k], 0, words);
    });
  }

  /** Makes a kernel ready to run on these operands. */
  async prepare(kernel: Kernel, params: Params): Promise<ReadyKernel> {
    const d = this.#d;
    const call: Call = { ...this.call, params };
    const scratch = new Map(
      Object.entries(kernel.scratch?.(call) ?? {}).map(([name, size]) => [
        name,
        d.buffers.storage(name, 4 * Math.max(4, size)),
      ]),
    );
    const own = [...scratch.values()];
    const bufferOf = (b: Bound): DeviceBuffer =>
      "in" in b
        ? this.#inputs[b.in]
        : "out" in b
          ? this.#outputs[b.out]
          : (scratch.get(b.scratch) as DeviceBuffer);
    const reset = () => {
      this.#reset(kernel);
      for (const b of scratch.values()) d.buffers.write(b, 0, new Uint32Array(b.size / 4).fill(POISON));
    };
    const output = (k: number) => collect(d, call.outputs[k], this.#outputs[k]);
    try {
      const commands: DispatchCommand[] = [];
      for (const dispatch of kernel.dispatches(call)) {
        const ranges = rangesOf(dispatch, bufferOf, d.gpu.bindingLimit);
        const { command, sizes } = await loneDispatch(d, kernel.name, dispatch, ranges);
        own.push(sizes);
        commands.push(command);
      }
      return new ReadyKernel(d, commands, own, reset, output);
    } catch (error) {
      for (const b of own) d.buffers.destroy(b);
      throw error;
    }
  }

  close(): void {
    for (const b of [...this.#inputs, ...this.#outputs]) this.#d.buffers.destroy(b);
  }
}

/** One kernel ready to run on a placed call. */
export class ReadyKernel {
  /** Poisons outputs and scratch memory. */
  readonly reset: () => void;
  readonly output: (index: number) => Promise<Output>;
  readonly #d: Tools;
  readonly #commands: readonly DispatchCommand[];
  readonly #own: readonly DeviceBuffer[];

  constructor(
    devices: Tools,
    commands: readonly DispatchCommand[],
    own: readonly DeviceBuffer[],
    reset: () => void,
    output: (index: number) => Promise<Output>,
  ) {
    this.#d = devices;
    this.#commands = commands;
    this.#own = own;
    this.reset = reset;
    this.output = output;
  }

  /** Runs it that often and waits for the device. */
  async run(repeats = 1): Promise<void> {
    this.#d.commander.run(this.#repeated(repeats));
    await this.#d.commander.drain();
    this.#d.gpu.check();
  }

  /** Ms of one run, the mean of that many in a row: by the device's clock where it has one, else by the host's. */
  async time(repeats: number): Promise<number> {
    const ms = await this.#d.commander.span(this.#repeated(repeats));
    this.#d.gpu.check();
    if (ms !== null) return ms / repeats;
    const began = performance.now();
    await this.run(repeats);
    return (performance.now() - began) / repeats;
  }

  #repeated(repeats: number): DispatchCommand[] {
    return Array.from({ length: repeats }, () => this.#commands).flat();
  }

  close(): void {
    for (const b of this.#own) this.#d.buffers.destroy(b);
  }
}

/** All outputs of the last run. Throws where an element was never written, and where one beside an output was. */
export async function outputsOf(kernel: ReadyKernel, call: BareCall): Promise<Values[]> {
  const out: HostArray[] = [];
  for (const at of call.outputs.keys()) {
    const { data, unwritten, spilled } = await kernel.output(at);
    if (unwritten > 0) throw new Error(`output ${at}: ${unwritten} elements were never written`);
    if (spilled > 0) throw new Error(`output ${at}: ${spilled} elements beside it were overwritten`);
    out.push(data);
  }
  return valuesOf(call.outputs, out);
}

/** The whole of each bound buffer, but for what no binding holds: the margin behind an operand of just the largest one. */
function rangesOf({ bind }: Dispatch, bufferOf: (b: Bound) => DeviceBuffer, limit: number) {
  const whole = (buffer: DeviceBuffer) => ({ buffer, offset: 0, size: Math.min(buffer.size, limit) });
  return Object.fromEntries(Object.entries(bind).map(([name, b]) => [name, whole(bufferOf(b))]));
}

/** Elements from the beginning of an operand's buffer to its end, with a margin behind it. */
const length = (o: Operand): number => o.offset + (o.shape.length === 0 ? 1 : o.shape[0] * o.batchStride) + 8;

const wordsOf = (o: Operand): number => (o.dtype === "u8" ? Math.ceil(length(o) / 4) : length(o));

/** Calls `f` for every row of axis 0: where it is in dense order, where it lies, how long it is. */
function forEachRow(o: Operand, f: (flat: number, at: number, count: number) => void): void {
  const row = o.shape.length === 0 ? 1 : numel(o.shape.slice(1));
  const rows = o.shape.length === 0 ? 1 : o.shape[0];
  for (let r = 0; r < rows; r++) f(r * row, o.offset + r * o.batchStride, row);
}

/** The buffer's contents: the filling everywhere, the data (if any) inside the view. */
function laidOut(o: Operand, data: HostArray | null, filling: number): Uint32Array {
  const all = new Uint32Array(wordsOf(o)).fill(filling);
  if (!data) return all;
  const bytes = o.dtype === "u8";
  const into = bytes ? new Uint8Array(all.buffer) : all;
  const from = bytes ? (data as Uint8Array) : new Uint32Array(data.buffer, data.byteOffset, data.length);
  forEachRow(o, (flat, at, count) => into.set(from.subarray(flat, flat + count), at));
  return all;
}

async function collect(d: Tools, o: Operand, buffer: DeviceBuffer): Promise<Output> {
  if (o.dtype === "u8") throw new Error("the bench reads outputs of whole words only");
  const all = new Uint32Array(await d.buffers.read(buffer, 0, 4 * length(o)));
  const data = new Uint32Array(numel(o.shape));
  forEachRow(o, (flat, at, count) => {
    data.set(all.subarray(at, at + count), flat);
    all.fill(POISON, at, at + count);
  });
  let [unwritten, spilled] = [0, 0];
  for (const w of data) if (w === POISON) unwritten++;
  for (const w of all) if (w !== POISON) spilled++;
  return { data: viewBytes(o.dtype, data.buffer, data.length), unwritten, spilled };
}
