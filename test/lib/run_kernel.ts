// Kernels of ops as the op tests run them: operands dense or as views (an offset, rows apart) into poisoned buffers.
import type { HostArray } from "../../src/core/dtype.ts";
import { numel } from "../../src/core/shape.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import type { Tools } from "../../src/gpu/lone_dispatch.ts";
import { type NDArray, toHost } from "../../src/graph/array.ts";
import type { AnyOp, Call, Kernel, Operand, Params } from "../../src/graph/op.ts";
import { benchTools, PlacedCall } from "../../src/runtime/kernel_bench.ts";

export interface Layout {
  readonly offset: number;
  /** Elements between the end of a row of axis 0 and the next row. */
  readonly gap: number;
}

export class KernelBench {
  readonly gpu: Gpu;
  readonly #devices: Tools;

  constructor(devices: Tools) {
    this.gpu = devices.gpu;
    this.#devices = devices;
  }

  static async open(gpu: Gpu): Promise<KernelBench> {
    return new KernelBench(await benchTools(gpu));
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
    const placed = new PlacedCall(
      this.#devices,
      {
        inputs: this.operands(inputs, layout),
        outputs: this.operands(outTypes, op.denseOutput ? { ...layout, gap: 0 } : layout),
        attrs,
        device: this.gpu.traits,
      },
      inputs.map(toHost),
    );
    try {
      const ready = await placed.prepare(kernel, params);
      ready.reset();
      await ready.run();
      const results = [];
      for (const k of outTypes.keys()) results.push(await ready.output(k));
      ready.close();
      return results;
    } finally {
      placed.close();
    }
  }
}
