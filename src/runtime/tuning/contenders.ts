// What may run a call: every kernel that is right for it, at the points of its space. Each is known by the hash of what
// the device would compile, so that a measurement belongs to just that text: a changed shader loses its own and no other.

import { hashText } from "../../core/hash.ts";
import { specialise } from "../../gpu/shader.ts";
import type { AnyOp, BareCall, Dispatch, Kernel, Params } from "../../graph/op.ts";
import { candidates, defaultParams, heuristic, points, scoreOf } from "../../schedule/select.ts";

export interface Contender {
  readonly kernel: Kernel;
  readonly params: Params;
  readonly hash: string;
}

/** Points of one kernel's space at most: its own, and a seeded choice of the others. */
const POINTS = 12;

export class Contenders {
  readonly #sources: ReadonlyMap<string, string>;
  readonly #hashes = new Map<string, string>();

  constructor(sources: ReadonlyMap<string, string>) {
    this.#sources = sources;
  }

  /** What is chosen without measurements; null where it may not be measured. */
  own(op: AnyOp, call: BareCall): Contender | null {
    const { kernel, params } = heuristic(op, call);
    // As the schedule does: a grid beyond the device gives way to the baseline.
    return this.of(op, kernel, params, call) ?? this.baseline(op, call);
  }

  baseline(op: AnyOp, call: BareCall): Contender | null {
    const [kernel] = op.kernels;
    return this.of(op, kernel, defaultParams(kernel, call), call);
  }

  /** One kernel at one point; null where the device cannot run it so. */
  of(op: AnyOp, kernel: Kernel, params: Params, call: BareCall): Contender | null {
    // Where results lie was decided by the baseline's ways.
    if (String(kernel.inPlace) !== String(op.kernels[0].inPlace)) return null;
    const dispatches = kernel.dispatches({ ...call, params });
    const fits = dispatches.every((d) => d.grid.every((n) => n <= call.device.maxWorkgroups));
    return fits ? { kernel, params, hash: hashText(dispatches.map((d) => this.#hash(d)).join()) } : null;
  }

  /** All of them: the heuristic's first, then the baseline. Points that make the same dispatches count once. */
  all(op: AnyOp, call: BareCall): Contender[] {
    // Below 0: not for a device of this kind, and much of it to compile.
    const list = candidates(op, call)
      .filter((k) => scoreOf(k, call) >= 0)
      .flatMap((kernel) =>
        points(op, kernel, call, POINTS).flatMap((params) => this.of(op, kernel, params, call) ?? []),
      );
    const seen = new Set<string>();
    return [this.own(op, call), this.baseline(op, call), ...list].flatMap((c) => {
      const key = c && JSON.stringify(c.kernel.dispatches({ ...call, params: c.params }));
      if (!c || !key || seen.has(key)) return [];
      seen.add(key);
      return [c];
    });
  }

  /**
   * What the device compiles and how much of it runs. The values of the sizes are left out: extents are part of the
   * call's key, and where its operands lie is not to split what was measured.
   */
  #hash({ shader, params, types, hooks, bind, grid, uniforms }: Dispatch): string {
    const key = JSON.stringify([shader, params, types, hooks]);
    let text = this.#hashes.get(key);
    if (text === undefined) {
      text = hashText(specialise(shader, this.#sources, { params, types, hooks }));
      this.#hashes.set(key, text);
    }
    return JSON.stringify([text, bind, grid, Object.keys(uniforms)]);
  }
}
