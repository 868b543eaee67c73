// What the pictures show, as fields: functions of the plane that are positive inside and negative outside, and near an
// edge about the distance to it. A figure lies within radius 1 of the origin, a texture repeats in about one unit.
// Two disjoint families of classes: one to pretrain on, one to fine-tune on. No colours and no pixels here.

import type { Generator } from "../../src/core/random.ts";
import { hashed, hills } from "./noise.ts";

export type Field = (u: number, v: number) => number;

export interface Motif {
  readonly kind: "figure" | "texture";
  /** A field; what varies within the class (proportions, duty cycles) is drawn from `random`. */
  field(random: Generator): Field;
}

export type Family = "pretrain" | "target";

const between = (random: Generator, low: number, high: number) => low + (high - low) * random.uniform();
/** Distance to the nearest whole number, 0 to 0.5. */
const toWhole = (x: number) => Math.abs(x - Math.round(x));
/** The angle of (u, v) folded into ±π/n, and the radius: one sector of n. */
function sector(u: number, v: number, n: number): [number, number] {
  const step = (2 * Math.PI) / n;
  const angle = Math.atan2(v, u);
  return [angle - step * Math.round(angle / step), Math.hypot(u, v)];
}

const box = (u: number, v: number, w: number, h: number) => Math.min(w - Math.abs(u), h - Math.abs(v));

function polygon(u: number, v: number, n: number): number {
  const [angle, r] = sector(u, v, n);
  return Math.cos(Math.PI / n) - r * Math.cos(angle);
}

/** A star of n points, whose inner corners have radius `inner`. */
function star(u: number, v: number, n: number, inner: number): number {
  const [angle, r] = sector(u, v, n);
  const [x, y] = [r * Math.cos(angle), Math.abs(r * Math.sin(angle))];
  const [cx, cy] = [inner * Math.cos(Math.PI / n), inner * Math.sin(Math.PI / n)];
  return (cy * (1 - x) - (1 - cx) * y) / Math.hypot(cy, 1 - cx);
}

const figure = (field: Motif["field"]): Motif => ({ kind: "figure", field });
const texture = (field: Motif["field"]): Motif => ({ kind: "texture", field });

function ell(random: Generator): Field {
  const t = between(random, 0.2, 0.3);
  return (u, v) => Math.max(box(u + 0.5, v, t, 0.9), box(u, v - 0.9 + t, 0.5 + t, t));
}

function zee(random: Generator): Field {
  const t = between(random, 0.16, 0.22);
  const diagonal = (u: number, v: number) =>
    Math.min(t * 1.3 - Math.abs(u + v) * Math.SQRT1_2, 0.8 - Math.abs(v));
  return (u, v) => Math.max(box(u, Math.abs(v) - 0.8 + t, 0.75, t), diagonal(u, v));
}

function bricks(random: Generator): Field {
  const gap = between(random, 0.06, 0.12);
  return (u, v) => {
    const row = Math.floor(v / 0.6);
    const across = 0.5 - toWhole(u / 1.2 + (row % 2) * 0.5 - 0.5);
    return Math.min(toWhole(v / 0.6) * 0.6, (0.5 - across) * 1.2) - gap;
  };
}

function rays(random: Generator): Field {
  const n = 7 + random.integer(6);
  const [x, y] = [between(random, -1, 1), between(random, -1, 1)];
  return (u, v) => {
    const [angle, r] = sector(u - x, v - y, n);
    return r * Math.sin(Math.PI / (2 * n) - Math.abs(angle));
  };
}

/** Classes that the shipped weights were trained on. */
const PRETRAIN: Readonly<Record<string, Motif>> = {
  disc: figure(() => (u, v) => 0.9 - Math.hypot(u, v)),
  square: figure(() => (u, v) => box(u, v, 0.75, 0.75)),
  triangle: figure(() => (u, v) => polygon(u, v, 3)),
  hexagon: figure(() => (u, v) => polygon(u, v, 6)),
  star: figure((r) => {
    const inner = between(r, 0.38, 0.5);
    return (u, v) => star(u, v, 5, inner);
  }),
  cross: figure((r) => {
    const t = between(r, 0.18, 0.3);
    return (u, v) => Math.max(box(u, v, 0.95, t), box(u, v, t, 0.95));
  }),
  ring: figure((r) => {
    const t = between(r, 0.12, 0.22);
    return (u, v) => t - Math.abs(Math.hypot(u, v) - 0.75);
  }),
  bar: figure((r) => {
    const t = between(r, 0.14, 0.26);
    return (u, v) => t - Math.hypot(Math.max(0, Math.abs(u) - 0.75), v);
  }),
  dome: figure(() => (u, v) => Math.min(0.95 - Math.hypot(u, v + 0.4), v + 0.4)),
  lens: figure((r) => {
    const off = between(r, 0.55, 0.9);
    const radius = Math.hypot(off, 0.95);
    return (u, v) => radius - Math.hypot(u, Math.abs(v) + off);
  }),
  ell: figure(ell),
  zee: figure(zee),
  stripes: texture((r) => {
    const duty = between(r, 0.18, 0.32);
    return (u) => duty - toWhole(u);
  }),
  waves: texture((r) => {
    const height = between(r, 0.25, 0.45);
    return (u, v) => 0.25 - toWhole(u + height * Math.sin(v * 3.6));
  }),
  zigzag: texture((r) => {
    const height = between(r, 0.6, 1);
    return (u, v) => 0.25 - toWhole(u + height * toWhole(v * 0.7));
  }),
  checks: texture(
    () => (u, v) =>
      Math.sign((toWhole(u) - 0.25) * (toWhole(v) - 0.25)) *
      Math.min(Math.abs(toWhole(u) - 0.25), Math.abs(toWhole(v) - 0.25)),
  ),
  dots: texture((r) => {
    const radius = between(r, 0.22, 0.34);
    return (u, v) => radius - Math.hypot(toWhole(u), toWhole(v));
  }),
  grid: texture((r) => {
    const t = between(r, 0.08, 0.16);
    return (u, v) => t - Math.min(toWhole(u), toWhole(v));
  }),
  pluses: texture((r) => {
    const t = between(r, 0.08, 0.12);
    return (u, v) => Math.max(box(toWhole(u), toWhole(v), 0.36, t), box(toWhole(u), toWhole(v), t, 0.36));
  }),
  lozenges: texture((r) => {
    const width = between(r, 0.45, 0.65);
    return (u, v) => 0.24 - Math.abs(toWhole(u + v * width) - toWhole(u - v * width));
  }),
  bricks: texture(bricks),
  rays: texture(rays),
  circles: texture((r) => {
    const [x, y] = [between(r, -1, 1), between(r, -1, 1)];
    return (u, v) => 0.25 - toWhole(Math.hypot(u - x, v - y));
  }),
  blobs: texture((r) => {
    const seed = r.word();
    return (u, v) => (hills(seed, u * 1.4, v * 1.4) - 0.5) * 0.8;
  }),
};

function arrow(random: Generator): Field {
  const t = between(random, 0.14, 0.24);
  const head = (u: number, v: number) => Math.min((0.95 - u - 1.1 * Math.abs(v)) * 0.67, u - 0.15);
  return (u, v) => Math.max(head(u, v), box(u + 0.4, v, 0.6, t));
}

function crescent(random: Generator): Field {
  const off = between(random, 0.35, 0.55);
  return (u, v) => Math.min(0.95 - Math.hypot(u, v), Math.hypot(u - off, v) - 0.8);
}

function flower(random: Generator): Field {
  const petals = 5 + random.integer(2);
  const eye = between(random, 0.16, 0.26);
  return (u, v) => {
    const [angle, r] = sector(u, v, petals);
    const petal = 0.34 - Math.hypot(r * Math.cos(angle) - 0.6, r * Math.sin(angle));
    return Math.min(Math.max(petal, 0.5 - r), r - eye);
  };
}

function spiral(random: Generator): Field {
  const turn = random.uniform() < 0.5 ? -1 : 1;
  const arms = 1 + random.integer(2);
  return (u, v) => {
    const r = Math.hypot(u, v);
    const angle = (turn * Math.atan2(v, u) * arms) / (2 * Math.PI);
    return Math.min((0.25 - toWhole(r * 2.6 + angle)) * 0.38, 1.1 - r);
  };
}

function honeycomb(random: Generator): Field {
  const wall = between(random, 0.05, 0.1);
  const h = Math.sqrt(3);
  return (u, v) => {
    // The nearer of the two centres of a hexagonal lattice: corners and middles of rectangles 1 × √3.
    const [au, av] = [u - Math.round(u), v - h * Math.round(v / h)];
    const [bu, bv] = [u - Math.floor(u) - 0.5, v - h * (Math.floor(v / h) + 0.5)];
    const near = Math.hypot(au, av) < Math.hypot(bu, bv);
    const [x, y] = near ? [Math.abs(au), Math.abs(av)] : [Math.abs(bu), Math.abs(bv)];
    return 0.5 - wall - Math.max(x, x * 0.5 + (y * h) / 2);
  };
}

function scales(random: Generator): Field {
  const line = between(random, 0.07, 0.12);
  return (u, v) => {
    // Rows of overlapping discs: the first row from above whose disc covers the point is the one seen.
    const row = Math.floor(v / 0.5);
    for (let i = row - 1; i <= row + 1; i++) {
      const x = u + 0.5 * (i & 1);
      const r = Math.hypot(x - Math.round(x), v - i * 0.5);
      if (r < 0.56) return line - (0.56 - r);
    }
    return line;
  };
}

/** Classes of the pictures that `npm start` fine-tunes on; none of them is among those above. */
const TARGET: Readonly<Record<string, Motif>> = {
  arrow: figure(arrow),
  crescent: figure(crescent),
  flower: figure(flower),
  spiral: figure(spiral),
  honeycomb: texture(honeycomb),
  scales: texture(scales),
};

const FAMILIES: Readonly<Record<Family, Readonly<Record<string, Motif>>>> = {
  pretrain: PRETRAIN,
  target: TARGET,
};

/** The classes of a family, sorted as a folder of pictures sorts them. */
export function classesOf(family: Family): string[] {
  return Object.keys(FAMILIES[family]).sort();
}

export function motifOf(family: Family, name: string): Motif {
  return FAMILIES[family][name];
}

/** Wobbles a field's coordinates a little, so that no edge is quite straight. */
export function wobbled(field: Field, seed: number, amount: number): Field {
  const phase = hashed(seed, 1, 2) * 6;
  return (u, v) => field(u + amount * Math.sin(2.3 * v + phase), v + amount * Math.sin(2.1 * u - phase));
}
