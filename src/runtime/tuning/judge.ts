// Is a contender right for the call? On real operands its outputs are compared with the op's float64 reference within
// the bound of the op tests, whole or in chosen rows. Where the op is exact they must also be, on small whole numbers and
// in every element, those of the baseline. Nothing may be left unwritten or written beside an output.

import { type HostArray, hostArray } from "../../core/dtype.ts";
import { messageOf } from "../../core/error.ts";
import type { AnyOp, InputSpec } from "../../graph/op.ts";
import type { PlacedCall, ReadyKernel } from "../kernel_bench.ts";
import { Reference, type Values } from "../verify.ts";
import type { Bare } from "./contenders.ts";
import { realOperands, wholeOperands } from "./operands.ts";

/** FLOPs of the reference that are computed: where whole numbers tell nothing, it alone tells all. */
const ROWS = 4e6;
const WHOLE = 6.4e7;

/** Whole numbers below this are exact in f32, and so is any sum of them that does not exceed it. */
const EXACT = 2 ** 24;

const isExact = (op: AnyOp, call: Bare) =>
  typeof op.exact === "function" ? op.exact(call.attrs) : (op.exact ?? false);

/** Why each of the kernels is wrong; null for those that are right. */
export async function judge<K extends ReadyKernel>(
  op: AnyOp,
  placed: PlacedCall,
  specs: readonly InputSpec[],
  kernels: readonly K[],
  baseline: K | null,
): Promise<Map<K, string | null>> {
  const { call } = placed;
  const exact = isExact(op, call);
  const inputs = realOperands(call, specs);
  placed.fill(inputs);
  const reference = new Reference(
    op,
    call.attrs,
    valuesOf(call.inputs, inputs),
    call.outputs,
    exact ? ROWS : WHOLE,
  );
  const found = new Map<K, string | null>();
  for (const k of kernels) found.set(k, await objection(k, call, (outputs) => void reference.check(outputs)));
  const standard = baseline && found.get(baseline) === null ? baseline : null;
  if (exact && standard) await compareWhole(op, placed, specs, standard, found);
  return found;
}

const valuesOf = (types: Bare["inputs"], data: readonly HostArray[]): Values[] =>
  types.map((o, i) => ({ shape: o.shape, dtype: o.dtype, data: data[i] }));

async function outputsOf(k: ReadyKernel, call: Bare): Promise<Values[]> {
  k.reset();
  await k.run();
  const out: HostArray[] = [];
  for (const at of call.outputs.keys()) {
    const { data, unwritten, spilled } = await k.output(at);
    if (unwritten > 0) throw new Error(`output ${at}: ${unwritten} elements were never written`);
    if (spilled > 0) throw new Error(`output ${at}: ${spilled} elements beside it were overwritten`);
    out.push(data);
  }
  return valuesOf(call.outputs, out);
}

/** What `check` finds wrong with the kernel's outputs. */
async function objection(
  k: ReadyKernel,
  call: Bare,
  check: (outputs: readonly Values[]) => void,
): Promise<string | null> {
  try {
    check(await outputsOf(k, call));
    return null;
  } catch (error) {
    return messageOf(error);
  }
}

/** Finds those that differ from the standard anywhere on whole numbers. */
async function compareWhole<K extends ReadyKernel>(
  op: AnyOp,
  placed: PlacedCall,
  specs: readonly InputSpec[],
  standard: K,
  found: Map<K, string | null>,
): Promise<void> {
  const { call } = placed;
  const whole = wholeOperands(op, call, specs);
  placed.fill(whole);
  const want = await outputsOf(standard, call);
  const differing: [K, string][] = [];
  for (const [k, why] of found) {
    if (why !== null || k === standard) continue;
    const other = await objection(k, call, (outputs) => checkSame(outputs, want));
    if (other !== null) differing.push([k, other]);
  }
  if (differing.length === 0 || !(await sumsAreExact(placed, whole, standard))) return;
  for (const [k, why] of differing) found.set(k, why);
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

/** Whether no sum of these operands can have been rounded: the sums of their magnitudes are below 2²⁴. */
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
  const sums = await outputsOf(standard, call);
  return sums.every(({ data }) => {
    for (let i = 0; i < data.length; i++) if (!(Math.abs(data[i]) <= EXACT)) return false;
    return true;
  });
}
