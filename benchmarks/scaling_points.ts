// Which steps scaling.ts takes: along each axis, the others held.

export type Model = "densenet121" | "densenet169" | "densenet201";
export type Axis = "batch" | "size" | "depth" | "frozen";

export interface Setting {
  readonly model: Model;
  readonly batch: number;
  readonly size: number;
  /** How many blocks of the trunk are frozen, from the picture on. */
  readonly frozen: number;
}

export interface Series {
  readonly axis: Axis;
  readonly title: string;
  readonly settings: readonly Setting[];
}

const BASE: Setting = { model: "densenet121", batch: 8, size: 64, frozen: 0 };
const DEPTHS = { 121: "densenet121", 169: "densenet169", 201: "densenet201" } as const;
/** Nothing; up to and with the transition behind block 1, 2, 3; the whole trunk. */
const FROZEN = [0, 6, 8, 10, 12];

const vary = <K extends keyof Setting>(key: K, values: readonly Setting[K][], base = BASE): Setting[] =>
  values.map((v) => ({ ...base, [key]: v }));

/** The series of a whole run, or of a quick one. */
export function seriesOf(quick: boolean): Series[] {
  const few = <T>(all: readonly T[], some: readonly T[]) => (quick ? some : all);
  const depths = Object.values(DEPTHS);
  return [
    {
      axis: "batch",
      title: "pictures in a batch, of 64×64",
      settings: vary("batch", few([1, 2, 4, 8, 16, 32, 64], [1, 2, 4])),
    },
    {
      axis: "size",
      title: "height and width of one picture",
      settings: vary("size", few([64, 96, 128, 192, 224, 320, 448], [64, 96, 128]), { ...BASE, batch: 1 }),
    },
    {
      axis: "depth",
      title: "layers, 8 pictures of 64×64",
      settings: vary("model", few(depths, depths.slice(0, 2))),
    },
    {
      axis: "frozen",
      title: "share of the forward pass that is frozen, 8 pictures of 64×64",
      settings: vary("frozen", few(FROZEN, [0, 12])),
    },
  ];
}

export const settingKey = (s: Setting): string => `${s.model} ${s.batch}x${s.size} frozen ${s.frozen}`;

/** Layers, by the name. */
export const depthOf = (model: Model): number => Number(model.slice("densenet".length));

const LONGEST_MS = 30_000;

/** What a step should take, from its work and a step that was measured. */
export const foretellMs = (before: { flops: number; ms: number } | null, flops: number): number | null =>
  before && (before.ms * flops) / before.flops;

/** Why a step that was foretold is not taken; null where it is. */
export function tooLong(foretold: number | null): string | null {
  if (foretold === null || foretold <= LONGEST_MS) return null;
  return `it would take ${(foretold / 1e3).toFixed(0)} s a step, more than ${LONGEST_MS / 1e3} s`;
}
