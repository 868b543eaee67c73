// Draws one picture: a motif in a random colour, place, size, turn and slant on a shaded ground of another random colour,
// among clutter, under uneven light, with grain. Colours, ground and clutter are drawn the same way for every class, so
// that nothing but the motif tells the class.

import { hashText } from "../../src/core/hash.ts";
import { Generator } from "../../src/core/random.ts";
import type { Picture } from "../../src/data/index.ts";
import { type Family, type Field, motifOf, wobbled } from "./fields.ts";
import { grain, hills } from "./noise.ts";

type Colour = readonly [number, number, number];

const between = (random: Generator, low: number, high: number) => low + (high - low) * random.uniform();

/** A field placed on the picture: coverage 0 to 1 of the pixel at (x, y). */
type Coverage = (x: number, y: number) => number;

interface Placement {
  /** Centre and unit, in pixels. */
  readonly x: number;
  readonly y: number;
  readonly unit: number;
  readonly turn: number;
  /** Width to height. */
  readonly slant: number;
}

function placed(field: Field, { x, y, unit, turn, slant }: Placement): Coverage {
  const [c, s] = [Math.cos(turn) / unit, Math.sin(turn) / unit];
  const stretch = Math.sqrt(slant);
  return (px, py) => {
    const [dx, dy] = [px - x, py - y];
    const d = field((c * dx + s * dy) * stretch, (c * dy - s * dx) / stretch);
    // An edge is one pixel wide: the field is about a distance, in units.
    return Math.min(1, Math.max(0, d * unit + 0.5));
  };
}

/** Two colours, one clearly darker than the other, whichever it is. */
function colours(random: Generator): [Colour, Colour] {
  const tinted = (level: number): Colour => {
    const channel = () => level + between(random, -60, 60);
    return [channel(), channel(), channel()];
  };
  const gap = between(random, 80, 180);
  const dark = between(random, 20, 235 - gap);
  const pair: [Colour, Colour] = [tinted(dark), tinted(dark + gap)];
  return random.uniform() < 0.5 ? pair : [pair[1], pair[0]];
}

/** The canvas: channels as floating-point numbers until the end. */
class Canvas {
  readonly size: number;
  readonly rgb: Float32Array;

  constructor(size: number) {
    this.size = size;
    this.rgb = new Float32Array(size * size * 3);
  }

  /** Calls `at` for each pixel of a square part (all by default) with its centre and the place of its red. */
  each(at: (x: number, y: number, i: number) => void, part = { x: 0, y: 0, reach: this.size }): void {
    const first = (v: number) => Math.max(0, Math.floor(v - part.reach));
    const last = (v: number) => Math.min(this.size, Math.ceil(v + part.reach));
    for (let y = first(part.y); y < last(part.y); y++)
      for (let x = first(part.x); x < last(part.x); x++) at(x + 0.5, y + 0.5, (y * this.size + x) * 3);
  }

  paint(coverage: Coverage, [r, g, b]: Colour, part?: { x: number; y: number; reach: number }): void {
    const { rgb } = this;
    this.each((x, y, i) => {
      const a = coverage(x, y);
      if (a === 0) return;
      rgb[i] += a * (r - rgb[i]);
      rgb[i + 1] += a * (g - rgb[i + 1]);
      rgb[i + 2] += a * (b - rgb[i + 2]);
    }, part);
  }

  bytes(): Uint8Array {
    // The array clamps, and rounds to nearest.
    return new Uint8Array(Uint8ClampedArray.from(this.rgb).buffer);
  }
}

/** The ground: its colour, going over smoothly into lighter and darker. */
function ground(canvas: Canvas, random: Generator, colour: Colour): void {
  const seed = random.word();
  const depth = between(random, 10, 70);
  const wide = between(random, 0.25, 0.6) * canvas.size;
  canvas.each((x, y, i) => {
    const shade = (hills(seed, x / wide, y / wide) - 0.5) * depth;
    for (let c = 0; c < 3; c++) canvas.rgb[i + c] = colour[c] + shade;
  });
}

/** Strokes and specks in colours of their own. */
function clutter(canvas: Canvas, random: Generator, count: number): void {
  const { size } = canvas;
  for (let n = 0; n < count; n++) {
    const half = random.uniform() < 0.5 ? between(random, 0.1, 0.35) * size : 0;
    const thick = (half > 0 ? between(random, 0.008, 0.02) : between(random, 0.015, 0.05)) * size;
    const place = { x: between(random, 0, size), y: between(random, 0, size), unit: 1, slant: 1 };
    const stroke: Field = (u, v) => thick - Math.hypot(Math.max(0, Math.abs(u) - half), v);
    const [colour] = colours(random);
    const part = { x: place.x, y: place.y, reach: half + thick + 1 };
    canvas.paint(placed(stroke, { ...place, turn: between(random, 0, Math.PI) }), colour, part);
  }
}

/** Light from one side, and grain. */
function expose(canvas: Canvas, random: Generator): void {
  const turn = between(random, 0, 2 * Math.PI);
  const slope = between(random, 0, 0.7) / canvas.size;
  const [c, s] = [Math.cos(turn) * slope, Math.sin(turn) * slope];
  const level = between(random, 0.75, 1.15);
  const amount = between(random, 5, 40);
  const seed = random.word();
  const middle = canvas.size / 2;
  canvas.each((x, y, i) => {
    const light = level * (1 + c * (x - middle) + s * (y - middle));
    for (let k = 0; k < 3; k++) canvas.rgb[i + k] = canvas.rgb[i + k] * light + amount * grain(seed, i + k);
  });
}

export interface PictureKey {
  readonly family: Family;
  readonly className: string;
  /** Pictures of one seed differ by their number; different parts of a data set use different numbers. */
  readonly number: number;
  readonly seed: number;
  /** Side in pixels. Default 64. */
  readonly size?: number;
}

/** The picture of that key: the same bytes whenever and wherever it is drawn. */
export function drawPicture({ family, className, number, seed, size = 64 }: PictureKey): Picture {
  const stream = Number.parseInt(hashText(`${family}/${className}/${number}`).slice(-8), 16);
  const random = new Generator(seed, stream);
  const motif = motifOf(family, className);
  const figure = motif.kind === "figure";
  const canvas = new Canvas(size);
  const [back, front] = colours(random);
  ground(canvas, random, back);
  clutter(canvas, random, 1 + random.integer(5));
  const field = wobbled(motif.field(random), random.word(), between(random, 0, 0.06));
  const place = {
    x: size * between(random, 0.34, 0.66),
    y: size * between(random, 0.34, 0.66),
    unit: size * (figure ? between(random, 0.2, 0.42) : between(random, 0.13, 0.28)),
    turn: between(random, 0, 2 * Math.PI),
    slant: Math.exp(between(random, -0.3, 0.3)),
  };
  canvas.paint(placed(field, place), front);
  clutter(canvas, random, random.integer(4));
  expose(canvas, random);
  return { data: canvas.bytes(), height: size, width: size };
}
