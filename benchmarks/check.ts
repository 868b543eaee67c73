// What must hold before anything is timed: the network computes what torchvision's computes, and every engine computes
// the same from the same weights. Each check throws WrongResult, or returns what it saw.

import { ThawError } from "../src/core/error.ts";
import { nn } from "../src/index.ts";
import {
  type Fixture,
  fixtureInputs,
  fixtureModel,
  loadFixture,
  rowDistance,
  rows,
} from "../test/lib/densenet_fixture.ts";
import type { Engine, Loaded } from "./engine.ts";
import type { Warm } from "./steps.ts";

/** An engine does not compute what it should. */
export class WrongResult extends ThawError {
  override name = "WrongResult";
}

export interface Checked {
  readonly what: string;
  readonly against: string;
  readonly error: number;
  readonly bound: number;
}

const SHAPE = [2, 3, 64, 64];

function within(what: string, against: string, error: number, bound: number): Checked {
  if (!(error <= bound)) {
    throw new WrongResult(
      `${what}: off from ${against} by ${error.toExponential(1)}, allowed ${bound.toExponential(1)}; nothing is timed`,
    );
  }
  return { what, against, error, bound };
}

/** Largest difference relative to the largest value. */
function relative(got: ArrayLike<number>, want: ArrayLike<number>): number {
  let [off, top] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    // A comparison with NaN would let it pass.
    const d = Math.abs(got[i] - want[i]);
    off = Number.isNaN(d) ? Number.NaN : Math.max(off, d);
    top = Math.max(top, Math.abs(want[i]));
  }
  return got.length === want.length ? off / top : Number.NaN;
}

/**
 * DenseNet-121 against torchvision's in float64 (DESIGN §7): logits in eval and train mode and all gradients, on weights
 * where no ReLU hangs on rounding.
 */
export async function checkModel(): Promise<Checked[]> {
  const fixture = await loadFixture();
  const model = fixtureModel(true);
  const { x, y } = fixtureInputs(SHAPE);
  const out: Checked[] = [];
  for (const train of [false, true]) {
    model.train(train);
    const name = `${SHAPE.join("x")}.six.${train ? "train" : "eval"}`;
    const logits = model.forward(x);
    if (train) nn.functional.crossEntropy(logits, y).backward();
    out.push(checkFixtureLogits(fixture, name, await logits.data()));
    if (train) out.push(await checkGradients(fixture, name, model.parameters()));
  }
  return out;
}

const TORCHVISION = "torchvision in float64";

function checkFixtureLogits(fixture: Fixture, name: string, got: ArrayLike<number>): Checked {
  const want = fixture.get(`${name}.logits`) as Float64Array;
  const top = want.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
  const float32 = (fixture.get(`${name}.loss`) as Float64Array)[2];
  return within(`logits ${name}`, TORCHVISION, relative(got, want), Math.max(3e-4, (10 * float32) / top));
}

async function checkGradients(
  fixture: Fixture,
  name: string,
  params: readonly nn.Parameter[],
): Promise<Checked> {
  const list = rows(fixture.get(`${name}.grads`) as Float32Array);
  const largest = Math.max(...list.map((r) => r.norm));
  const seen: Checked[] = [];
  for (const [i, row] of list.entries()) {
    const grad = params[i].grad as NonNullable<(typeof params)[number]["grad"]>;
    const scale = Math.max(row.norm, 1e-4 * largest);
    const error = rowDistance(row, i, await grad.data()) / scale;
    seen.push(within(`gradients ${name}`, TORCHVISION, error, Math.max(3e-4, (10 * row.torch32) / scale)));
  }
  return seen.reduce((a, b) => (b.error / b.bound > a.error / a.bound ? b : a));
}

/** Each engine may be off from the truth by 1e-4 (DESIGN §7), so two may differ by twice that. */
const BETWEEN_ENGINES = 2e-4;

/** How far the fall of a loss may differ in coarse arithmetic: in bfloat16 on a CPU it did by 1.2 %. */
const FALL = 0.1;

/** An engine whose arithmetic is coarser than f32 says how far it may be off. */
type Checkable = Pick<Engine, "name" | "tolerance">;
const boundOf = (peer: Checkable) => peer.tolerance ?? BETWEEN_ENGINES;

/** A peer's logits of the same weights and pictures. */
export function checkPeerLogits(peer: Checkable, got: ArrayLike<number>, thaw: ArrayLike<number>): Checked {
  return within(`${peer.name} logits`, "Thaw", relative(got, thaw), boundOf(peer));
}

/** The same number of elements trains. */
export function checkTrained(peer: string, got: Loaded, thaw: Loaded): void {
  if (got.trained !== thaw.trained)
    throw new WrongResult(`${peer} trains ${got.trained} elements where Thaw trains ${thaw.trained}`);
}

/**
 * What an engine's first two steps gave is what Thaw's gave: the logits of a forward pass; else the loss before a step
 * and after it, which takes the same forward in train mode, the same gradients, the same optimizer. The job's weights are
 * those on which no ReLU hangs on rounding, so that DESIGN §7's 1e-4 a step holds for each engine.
 */
export function checkPeerStep(peer: Checkable, got: Warm, thaw: Warm): Checked[] {
  const [a0, a1] = thaw.losses;
  if (a0 === null || a1 === null) return [checkPeerLogits(peer, got.logits ?? [], thaw.logits ?? [])];
  // JSON has no NaN: a peer's arrives as null, and matches nothing.
  const [b0, b1] = got.losses.map((l) => l ?? Number.NaN);
  const bound = boundOf(peer);
  // Two losses that hardly differ would agree whatever the step did.
  if (Math.abs(a0 - a1) < 10 * BETWEEN_ENGINES * a0)
    throw new WrongResult(
      `a step moves Thaw's loss from ${a0} to ${a1}, too little to compare steps by; nothing is timed`,
    );
  const first = within(`${peer.name} first loss`, "Thaw", Math.abs(b0 - a0) / a0, bound);
  if (peer.tolerance === undefined)
    return [first, within(`${peer.name} loss after a step`, "Thaw", Math.abs(b1 - a1) / a1, bound)];
  // So wide a bound on the loss would pass an engine that takes no step at all: there, it is held to the loss's fall.
  const fall = Math.abs(b0 - b1 - (a0 - a1)) / Math.abs(a0 - a1);
  return [first, within(`${peer.name} fall of the loss`, "Thaw", fall, FALL)];
}
