// Is a contender right for the call? First, on real operands, its outputs are compared with the op's float64 reference
// within the bound of the op tests, whole or in chosen rows. Then, where the op is exact, what is about to win must have
// on small whole numbers, in every element, what the baseline has. Nothing may be left unwritten or written beside an
// output.

import { UNIT, UNIT_F16 } from "../../core/accuracy.ts";
import { type HostArray, hostArray } from "../../core/dtype.ts";
import { DeviceLost, messageOf } from "../../core/error.ts";
import type { AnyOp, BareCall, InputSpec } from "../../graph/op.ts";
import { outputsOf, type PlacedCall, type ReadyKernel } from "../kernel_bench.ts";
import { Reference, type Values, valuesOf } from "../verify.ts";
import { realOperands, wholeOperands } from "./operands.ts";

/** FLOPs of the reference that are computed: where whole numbers tell nothing, it alone tells all. */
const ROWS = 4e6;
const WHOLE = 6.4e7;

/** Whole numbers up to this are exact in f32, and so is any sum of them that does not exceed it. */
const EXACT = 2 ** 24;

const isExact = (op: AnyOp, call: BareCall) =>
  typeof op.exact === "function" ? op.exact(call.attrs) : (op.exact ?? false);

/** What is wrong with a kernel; null when nothing is seen. */
export type Objection = string | null;

/** Compares kernels with the op's reference on real operands. */
export class RowCheck {
  readonly #call: BareCall;
  readonly #reference: Reference;

  constructor(op: AnyOp, placed: PlacedCall, specs: readonly InputSpec[]) {
    const { call } = placed;
    const inputs = realOperands(call, specs);
    placed.fill(inputs);
    this.#call = call;
    const values = valuesOf(call.inputs, inputs);
    this.#reference = new Reference(op, call.attrs, values, call.outputs, isExact(op, call) ? ROWS : WHOLE);
  }

  /** `half`: the kernel may round what it multiplies to f16. */
  objection(kernel: ReadyKernel, half = false): Promise<Objection> {
    const unit = half ? UNIT_F16 : UNIT;
    return objectionOf(kernel, this.#call, (outputs) => void this.#reference.check(outputs, unit));
  }
}

/** Compares kernels with the standard, in every element, on whole numbers; says nothing where the op is not exact. */
export class WholeCheck {
  readonly #op: AnyOp;
  readonly #placed: PlacedCall;
  readonly #specs: readonly InputSpec[];
  readonly #standard: ReadyKernel | null;
  #want: { readonly whole: readonly HostArray[]; readonly outputs: readonly Values[] } | null = null;
  #exact: boolean | null = null;

  constructor(
    op: AnyOp,
    placed: PlacedCall,
    specs: readonly InputSpec[],
    /** A kernel that the reference has found right. */
    standard: ReadyKernel | null,
  ) {
    this.#op = op;
    this.#placed = placed;
    this.#specs = specs;
    this.#standard = isExact(op, placed.call) ? standard : null;
  }

  async objection(kernel: ReadyKernel): Promise<Objection> {
    const standard = this.#standard;
    if (!standard || kernel === standard || this.#exact === false) return null;
    const { call } = this.#placed;
    if (!this.#want) {
      const whole = wholeOperands(this.#op, call, this.#specs);
      this.#placed.fill(whole);
      this.#want = { whole, outputs: await runOnce(standard, call) };
    }
    const { whole, outputs } = this.#want;
    const why = await objectionOf(kernel, call, (got) => checkSame(got, outputs));
    if (why === null) return null;
    this.#exact ??= await sumsAreExact(this.#placed, whole, standard);
    this.#placed.fill(whole);
    return this.#exact ? why : null;
  }
}

async function runOnce(kernel: ReadyKernel, call: BareCall): Promise<Values[]> {
  kernel.reset();
  await kernel.run();
  return outputsOf(kernel, call);
}

/** What `check` finds wrong with the kernel's outputs. */
async function objectionOf(
  kernel: ReadyKernel,
  call: BareCall,
  check: (outputs: readonly Values[]) => void,
): Promise<Objection> {
  try {
    check(await runOnce(kernel, call));
    return null;
  } catch (error) {
    if (error instanceof DeviceLost) throw error;
    return messageOf(error);
  }
}

function checkSame(got: readonly Values[], want: readonly Values[]): void {
  want.forEach((w, k) => {
    for (let i = 0; i < w.data.length; i++) {
      const [a, b] = [got[k].data[i], w.data[i]];
      if (a !== b && !(Number.isNaN(a) && Number.isNaN(b)))
        throw new Error(`output ${k}: ${a} where the baseline has ${b}, on whole numbers`);
    }
  });
}

/** Whether no sum of these operands can have been rounded: the sums of their magnitudes are at most 2²⁴. */
async function sumsAreExact(
  placed: PlacedCall,
  whole: readonly HostArray[],
  standard: ReadyKernel,
): Promise<boolean> {
  const { call } = placed;
  placed.fill(
    whole.map((data, i) => {
      const out = hostArray(call.inputs[i].dtype, data.length);
      for (let e = 0; e < data.length; e++) out[e] = Math.abs(data[e]);
      return out;
    }),
  );
  const sums = await runOnce(standard, call);
  return sums.every(({ data }) => {
    for (let i = 0; i < data.length; i++) if (!(Math.abs(data[i]) <= EXACT)) return false;
    return true;
  });
}
