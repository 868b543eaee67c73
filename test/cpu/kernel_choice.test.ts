// Which kernels the scores choose, by traits alone: in software what was measured there, on GPUs tiles in workgroup
// memory that fill the device and fit it.
import { describe, expect, it } from "vitest";
import type { DeviceTraits } from "../../src/core/traits.ts";
import { multiprocessors } from "../../src/gpu/multiprocessors.ts";
import type { Attrs } from "../../src/graph/node.ts";
import { opNamed } from "../../src/graph/op.ts";
import "../../src/ops/index.ts";
import { numel } from "../../src/core/shape.ts";
import { select } from "../../src/schedule/select.ts";

const H100: DeviceTraits = {
  software: false,
  subgroups: true,
  f16: false,
  maxWorkgroups: 65_535,
  maxInvocations: 1024,
  workgroupStorage: 49_152,
  multiprocessors: 132,
};
const LAVAPIPE: DeviceTraits = { ...H100, software: true, workgroupStorage: 32_768, multiprocessors: 40 };
const SMALLEST: DeviceTraits = { ...H100, maxInvocations: 128, workgroupStorage: 16_384, multiprocessors: 8 };

function choose(name: string, shapes: readonly (readonly number[])[], attrs: Attrs, device: DeviceTraits) {
  const op = opNamed(name);
  const place = (shape: readonly number[]) => ({
    shape,
    dtype: "f32" as const,
    offset: 0,
    batchStride: numel(shape.slice(1)),
  });
  const inputs = shapes.map(place);
  const outputs = op.infer(inputs, attrs).map((t) => place(t.shape));
  const call = { inputs, outputs, attrs, device };
  const { kernel, params } = select(op, call, new Map());
  const dispatches = kernel.dispatches({ ...call, params });
  return { name: kernel.name, params, groups: numel(dispatches[0].grid), dispatches };
}

const NN = { transA: false, transB: false };
const UNIT = { groups: 1, stride: [1, 1], padding: [0, 0, 0, 0], dilation: [1, 1] };
const SAME = { ...UNIT, padding: [1, 1, 1, 1] };
const FORWARD = { store: [], bias: false, prologue: "none", relu: false };

describe("on a large GPU", () => {
  it("large products run on tall tiles, small ones are cut until they fill the device", () => {
    expect(
      choose(
        "matmul",
        [
          [4096, 4096],
          [4096, 4096],
        ],
        NN,
        H100,
      ),
    ).toMatchObject({
      name: "gemm_tall",
      params: { SK: 1 },
    });
    const small = choose(
      "matmul",
      [
        [128, 4096],
        [4096, 128],
      ],
      NN,
      H100,
    );
    expect(small.name).toMatch(/^gemm/);
    expect(small.dispatches.length).toBe(2);
    expect(small.groups).toBeGreaterThan(132);
  });

  it("convolutions of every kind and their gradients run on tiles", () => {
    const x = [32, 256, 14, 14];
    const y = [32, 128, 14, 14];
    const forward = { ...UNIT, ...FORWARD };
    expect(choose("conv2d", [x, [128, 256, 1, 1]], forward, H100).name).toMatch(/^gemm/);
    expect(choose("conv2dInput", [y, [128, 256, 1, 1]], { ...UNIT, size: [14, 14] }, H100).name).toMatch(
      /^gemm/,
    );
    const weight = choose("conv2dWeight", [x, y], { ...UNIT, kernel: [1, 1], prologue: "none" }, H100);
    expect(weight.name).toMatch(/^gemm/);
    expect(weight.groups, "the pixels are cut into parts").toBeGreaterThan(132);
    const same = { ...SAME, ...FORWARD };
    expect(choose("conv2d", [y, [32, 128, 3, 3]], same, H100).name).toMatch(/^window_gemm/);
    expect(choose("conv2d", [x, [256, 256, 3, 3]], same, H100).name).toBe("winograd");
    expect(choose("conv2dWeight", [x, y], { ...SAME, kernel: [3, 3], prologue: "none" }, H100).name).toMatch(
      /^window_gemm/,
    );
    expect(choose("conv2d", [y, [32, 128, 3, 3]], same, { ...H100, f16: true }).name).toBe("window_gemm_f16");
    expect(choose("conv2d", [x, [256, 1, 3, 3]], { ...same, groups: 256 }, H100).name).toBe("group");
  });

  it("narrow outputs take tiles of 32 rows: half of 64 would be padding", () => {
    const growth = choose(
      "conv2d",
      [
        [32, 128, 56, 56],
        [32, 128, 3, 3],
      ],
      { ...SAME, ...FORWARD },
      H100,
    );
    expect(growth.params).toMatchObject({ BM: 32, BN: 64, SK: 1 });
  });
});

it("a device with small workgroups gets tiles that it can run", () => {
  const { name, params } = choose(
    "matmul",
    [
      [4096, 4096],
      [4096, 4096],
    ],
    NN,
    SMALLEST,
  );
  expect(name).toBe("gemm");
  expect((params.BM / 4) * (params.BN / 4)).toBeLessThanOrEqual(128);
});

it("in software the register tiles stay ahead", () => {
  const forward = { ...UNIT, ...FORWARD };
  expect(
    choose(
      "matmul",
      [
        [64, 64],
        [64, 64],
      ],
      NN,
      LAVAPIPE,
    ).name,
  ).toBe("columns_sg");
  expect(
    choose(
      "matmul",
      [
        [63, 65],
        [65, 63],
      ],
      NN,
      LAVAPIPE,
    ).name,
  ).toBe("direct");
  expect(
    choose(
      "conv2d",
      [
        [8, 64, 8, 8],
        [32, 64, 1, 1],
      ],
      forward,
      LAVAPIPE,
    ).name,
  ).toBe("pointwise_sg");
  expect(
    choose(
      "conv2d",
      [
        [8, 64, 8, 8],
        [64, 64, 3, 3],
      ],
      { ...SAME, ...FORWARD },
      LAVAPIPE,
    ).name,
  ).toBe("row_sg");
});

it("multiprocessors are looked up by name, and guessed by vendor", () => {
  expect(multiprocessors("nvidia", "NVIDIA H100 80GB HBM3")).toBe(132);
  expect(multiprocessors("nvidia", "NVIDIA H100 PCIe")).toBe(114);
  expect(multiprocessors("nvidia", "Tesla T4")).toBe(40);
  expect(multiprocessors("apple", "")).toBe(10);
  expect(multiprocessors("", "")).toBe(40);
});
