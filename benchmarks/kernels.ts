// Verifies, then times single kernels. A kernel that does not match its reference gets no number: WrongKernel names it.

import type { HostArray } from "../src/core/dtype.ts";
import { ThawError } from "../src/core/error.ts";
import { sample, type Timing } from "../src/core/timing.ts";
import type { Ceilings } from "../src/gpu/ceilings.ts";
import type { Tools } from "../src/gpu/lone_dispatch.ts";
import { type AnyOp, type Call, type Kernel, opNamed } from "../src/graph/op.ts";
import { outputsOf, PlacedCall, type ReadyKernel } from "../src/runtime/kernel_bench.ts";
import { type Verified, valuesOf, verify } from "../src/runtime/verify.ts";
import { operandsOf } from "./operands.ts";
import { bytesOf, type PlannedKernel } from "./planned.ts";

/** A kernel's output is not its reference's. */
export class WrongKernel extends ThawError {
  override name = "WrongKernel";
}

export interface Measured extends Timing {
  readonly verified: Verified;
  readonly gflops: number;
  readonly gbps: number;
  /** The share of the roofline: of the multiply-add ceiling or of the copy bandwidth, whichever is nearer. */
  readonly ofCeiling: number;
  /** The share of the copy bandwidth. */
  readonly ofCopy: number;
}

/** Runs the call once and compares; throws WrongKernel unless it matches. */
async function verifyOnce(
  op: AnyOp,
  call: Call,
  ready: ReadyKernel,
  data: readonly HostArray[],
  what: string,
): Promise<Verified> {
  ready.reset();
  await ready.run();
  try {
    return verify(op, call.attrs, valuesOf(call.inputs, data), await outputsOf(ready, call));
  } catch (error) {
    throw new WrongKernel(
      `${what} does not match its reference, so it is not timed: ${(error as Error).message}`,
    );
  }
}

/** A kernel that runs on operands of its own. */
export interface Prepared {
  /** Runs it that often and waits for the device. */
  run(repeats: number): Promise<void>;
  close(): void;
}

/** One kernel made ready; the caller closes it. */
async function prepareKernel(
  devices: Tools,
  kernel: Kernel,
  call: Call,
  data: readonly HostArray[],
): Promise<Prepared & { readonly ready: ReadyKernel }> {
  const placed = new PlacedCall(devices, call, data);
  const ready = await placed.prepare(kernel, call.params).catch((error: unknown) => {
    placed.close();
    throw error;
  });
  const close = () => {
    ready.close();
    placed.close();
  };
  return { ready, run: (repeats) => ready.run(repeats), close };
}

/** One kernel made ready and found right. The caller closes `prepared`. */
export async function prepareVerified(
  devices: Tools,
  op: AnyOp,
  kernel: Kernel,
  call: Call,
  what: string,
): Promise<{ prepared: Prepared; verified: Verified }> {
  const data = operandsOf(op, call);
  const prepared = await prepareKernel(devices, kernel, call, data);
  try {
    return { prepared, verified: await verifyOnce(op, call, prepared.ready, data, what) };
  } catch (error) {
    prepared.close();
    throw error;
  }
}

/** Verifies and times one kernel of a plan; `kernel` replaces the op's own, for tests of the verification. */
export async function measure(
  devices: Tools,
  planned: PlannedKernel,
  ceilings: Ceilings,
  kernel?: Kernel,
): Promise<Measured> {
  const op = opNamed(planned.op);
  const own = kernel ?? (op.kernels.find((k) => k.name === planned.kernel) as Kernel);
  const what = `${planned.op} ${planned.variant} ${planned.shape}`;
  const { prepared, verified } = await prepareVerified(devices, op, own, planned.call, what);
  try {
    const timing = await sample((n) => prepared.run(n), { sampleMs: 8, budgetMs: 100, least: 7, most: 25 });
    const [gflops, gbps] = [planned.flops / timing.ms / 1e6, bytesOf(planned.call) / timing.ms / 1e6];
    const ofCeiling = Math.max(gflops / ceilings.gflops, gbps / ceilings.gbps);
    return { ...timing, verified, gflops, gbps, ofCeiling, ofCopy: gbps / ceilings.gbps };
  } finally {
    prepared.close();
  }
}
