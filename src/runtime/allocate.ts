// The buffers of a plan, made once. What the plan says that it needs (schedule/memory.ts) is what is allocated here, to
// the byte; where it is not, the plan is wrong and this throws.

import { mib } from "../core/bytes.ts";
import { OutOfMemory } from "../core/error.ts";
import type { DeviceBuffer } from "../gpu/buffers.ts";
import { packUniforms, shaderInfo } from "../gpu/shader.ts";
import type { Storage } from "../graph/leaf.ts";
import { planBytes, planMemory } from "../schedule/memory.ts";
import type { Root } from "../schedule/place.ts";
import { type DispatchStep, type Plan, rootBytes, uniformOffsets } from "../schedule/plan.ts";
import type { Devices } from "./prepared.ts";

/** All dispatches' Sizes in one buffer: they never change. */
export interface Uniforms {
  readonly buffer: DeviceBuffer;
  readonly at: ReadonlyMap<DispatchStep, { offset: number; size: number }>;
}

export interface Allocated {
  readonly memory: ReadonlyMap<Root, DeviceBuffer>;
  /** What goes when the plan goes: results, hoisted results, leaves, uniforms. */
  readonly owned: readonly DeviceBuffer[];
  readonly uniforms: Uniforms | null;
  /** Slots that the pool did not have. */
  readonly fresh: readonly DeviceBuffer[];
}

/** Throws OutOfMemory, with the plan's bytes, when the device has not got them. */
export async function allocate(plan: Plan, d: Devices): Promise<Allocated> {
  const { device } = d.gpu;
  device.pushErrorScope("out-of-memory");
  let made: Allocated;
  try {
    made = allocateAll(plan, d);
  } catch (error) {
    // Whoever comes next must not find the scope of this one.
    await device.popErrorScope().catch(() => null);
    throw error;
  }
  const full = await device.popErrorScope();
  if (!full) return made;
  for (const b of made.owned) d.buffers.destroy(b);
  d.buffers.dropSlots(made.fresh);
  throw new OutOfMemory(
    `the device has no memory for this step: its plan needs ${mib(planBytes(plan))} beside the parameters (${full.message}); take a smaller batch or smaller pictures`,
  );
}

function allocateAll(plan: Plan, d: Devices): Allocated {
  const said = planMemory(plan);
  const memory = new Map<Root, DeviceBuffer>();
  const owned: DeviceBuffer[] = [];
  const { slots, made: fresh } = d.buffers.slots(plan.slots);
  // Those that earlier plans left in the pool may be larger; those that it had not are made as the plan has them.
  const inPool = slots.reduce((n, b, i) => n + (fresh.includes(b) ? b.size : plan.slots[i]), 0);
  check("slots", inPool, said.slots);
  for (const [root, slot] of plan.slotOf) memory.set(root, slots[slot]);
  const own = madeBy(d, () => {
    for (const root of plan.owned) {
      const buffer = d.buffers.storage(`${root.kind} ${root.label}`, rootBytes(root));
      memory.set(root, buffer);
      owned.push(buffer);
    }
  });
  check("outputs, hoisted results and leaves", own, said.outputs + said.hoisted + said.leaves);
  for (const root of plan.states) memory.set(root, d.state(root.storage as Storage));
  const state = plan.states.reduce((n, r) => n + (memory.get(r) as DeviceBuffer).size, 0);
  check("state", state, said.state);
  let uniforms: Uniforms | null = null;
  const sizes = madeBy(d, () => {
    uniforms = uniformBuffer(plan, d);
    if (uniforms) owned.push(uniforms.buffer);
  });
  check("uniforms", sizes, said.uniforms);
  return { memory, owned, uniforms, fresh };
}

/** Bytes of the buffers that `make` makes. */
function madeBy(d: Devices, make: () => void): number {
  const before = d.buffers.made;
  make();
  return d.buffers.made - before;
}

function check(what: string, made: number, said: number): void {
  if (made !== said)
    throw new Error(`plan: ${what}: ${made} bytes were allocated, but the plan says ${said}`);
}

function uniformBuffer(plan: Plan, d: Devices): Uniforms | null {
  const infoOf = (shader: string) => shaderInfo(shader, d.pipelines.sources);
  const { at, total } = uniformOffsets([...plan.hoisted, ...plan.steps], (shader) => infoOf(shader).size);
  if (total === 0) return null;
  const bytes = new Uint8Array(total);
  for (const [s, { offset, size }] of at)
    packUniforms(s.shader, infoOf(s.shader), s.uniforms, new DataView(bytes.buffer, offset, size));
  const buffer = d.buffers.uniform("uniforms", total);
  d.buffers.write(buffer, 0, bytes);
  return { buffer, at };
}
