// The two kernels of `chain`: chain.wgsl for any strides, chain_vec4.wgsl for rows of whole vec4. Both splice in the WGSL
// of the steps' table rows, one block of names each.

import { numel, type Shape, sameShape } from "../core/shape.ts";
import type { Bound, Call, Dispatch, Kernel, Operand } from "../graph/op.ts";
import type { ChainAttrs } from "./chain.ts";
import { elementwiseRow, wgslOf } from "./elementwise.ts";
import {
  ceilDiv,
  collapse,
  componentwise,
  foldGrid,
  isDense,
  pad8,
  rankParam,
  rowSize,
  stridesAs,
  vectorOf,
  workgroupSize,
} from "./layout.ts";
import { NOWHERE, runsOf, type Strided, UNUSED } from "./runs.ts";

type ChainCall = Call<ChainAttrs>;

/** Operands that the shaders have bindings for, and scalars that they have uniforms for. */
export const MAX_INPUTS = 6;
export const MAX_SCALARS = 8;

const LETTERS = ["a", "b", "c", "d", "e", "f"] as const;

/** The scalars of all steps, in order. */
function chainScalars(a: ChainAttrs): number[] {
  return a.steps.flatMap(
    ([name, , attrs]) => elementwiseRow(name)?.scalars?.(Object.fromEntries(attrs)) ?? [],
  );
}

/** The body of the hook `chain`: step k gives r‹k›, from operands p‹i› and earlier steps, under its row's own names. */
function chainBody(a: ChainAttrs): string {
  let scalar = 0;
  const blocks = a.steps.map(([name, operands, attrs], k) => {
    const row = elementwiseRow(name) as NonNullable<ReturnType<typeof elementwiseRow>>;
    const lets = row.names.map(
      (n, i) => `let ${n} = ${operands[i] < 0 ? `r${-1 - operands[i]}` : `p${operands[i]}`};`,
    );
    const scalars = row.scalars?.(Object.fromEntries(attrs)) ?? [];
    scalars.forEach((_, i) => {
      lets.push(`let s${i} = u.k${scalar++};`);
    });
    const last = k === a.steps.length - 1;
    return `var r${k}: f32; { ${lets.join(" ")} r${k} = ${last ? "" : "keep"}(${wgslOf(row, "f32")}); }`;
  });
  return `${blocks.join(" ")} return r${a.steps.length - 1};`;
}

function common(c: ChainCall) {
  const bind: Record<string, Bound> = { y: { out: 0 } };
  c.inputs.forEach((_, i) => {
    bind[LETTERS[i]] = { in: i };
  });
  const uniforms: Record<string, number> = { zero: 0, y0: c.outputs[0].offset };
  const scalars = chainScalars(c.attrs);
  for (let i = 0; i < MAX_SCALARS; i++) uniforms[`k${i}`] = scalars[i] ?? 0;
  const WG = workgroupSize(c.device);
  const UNROLL = 4;
  const grid = (units: number) => foldGrid(ceilDiv(units, WG * UNROLL), c.device);
  return { bind, uniforms, params: { WG, UNROLL }, grid };
}

const strided: Kernel<ChainAttrs> = {
  name: "strided",
  dispatches: (c) => {
    const [y] = c.outputs;
    const operands = [...c.inputs, y];
    const { shape, strides } = collapse(
      y.shape,
      operands.map((o) => stridesAs(o, y.shape)),
    );
    const placed = operands.map(({ offset }, i) => ({ offset, strides: strides[i] }));
    // Software devices are slow at the divisions that find a place.
    return [c.device.software ? inRuns(c, shape, placed) : oneByOne(c, shape, placed)];
  },
};

const stridesField = (letter: string) => (letter === "a" ? "as_" : `${letter}s`);

/** Uniforms of the operands, the output last, by letter; `absent` stands for those that are not there. */
function eachOperand<O>(
  operands: readonly O[],
  absent: O,
  uniforms: (letter: string, o: O) => Record<string, number | number[]>,
): Record<string, number | number[]> {
  const last = operands.length - 1;
  const inputs = LETTERS.map((letter, i) => uniforms(letter, i < last ? operands[i] : absent));
  return Object.assign(uniforms("y", operands[last]), ...inputs);
}

function oneByOne(c: ChainCall, shape: Shape, operands: readonly Strided[]): Dispatch {
  const { bind, uniforms, params, grid } = common(c);
  const hooks: Record<string, string> = { chain: chainBody(c.attrs) };
  for (const letter of LETTERS.slice(0, c.inputs.length)) hooks[`load_${letter}`] = `return ${letter}[i];`;
  const places = eachOperand(operands, NOWHERE, (letter, { offset, strides }) => ({
    [`${letter}0`]: offset,
    [stridesField(letter)]: pad8(strides, 0),
  }));
  return {
    shader: "chain",
    params: { ...params, RANK: rankParam(shape.length), INPUTS: c.inputs.length },
    hooks,
    bind,
    uniforms: { ...uniforms, ...places, total: numel(shape), shape: pad8(shape, 1) },
    grid: grid(numel(shape)),
  };
}

/** The body of `all` on vec4s. */
const FOUR = componentwise(
  "V",
  (d) => `chain(${["p", "q", "r", "s", "t", "w"].map((v) => v + d).join(", ")})`,
);

function inRuns(c: ChainCall, shape: Shape, operands: readonly Strided[]): Dispatch {
  const { bind, uniforms, params } = common(c);
  const { four, extents, outer, placed } = runsOf(shape, operands);
  const hooks: Record<string, string> = { chain: chainBody(c.attrs), ...(four ? { all: FOUR } : {}) };
  const types: Record<string, string> = {
    V: vectorOf(four ? 4 : 1),
    XY: vectorOf(placed[c.inputs.length].unit),
  };
  LETTERS.slice(0, c.inputs.length).forEach((letter, i) => {
    hooks[`load_${letter}`] = `return V(${letter}[i]);`;
    types[`X${letter.toUpperCase()}`] = vectorOf(placed[i].unit);
  });
  const places = eachOperand(placed, UNUSED, (letter, { offset, step, strides }) => ({
    [`${letter}0`]: offset,
    [`${letter}i`]: step,
    [stridesField(letter)]: pad8(strides, 0),
  }));
  return {
    shader: "chain_runs",
    params: { WG: params.WG, RANK: rankParam(outer.length), INPUTS: c.inputs.length },
    types,
    hooks,
    bind,
    uniforms: { ...uniforms, ...places, ...extents, shape: pad8(outer, 1) },
    grid: foldGrid(ceilDiv(extents.total, params.WG), c.device),
  };
}

/** How vec4 number r of row n of the output finds its operand. */
interface Pattern {
  readonly load: (letter: string) => string;
  /** The binding is an array of vec4, else of f32. */
  readonly vec: boolean;
  readonly div: number;
  readonly mod: number;
  /** Of an operand with y's shape. */
  readonly full: boolean;
}

const same = (part: Omit<Partial<Pattern>, "load"> & Pick<Pattern, "load">): Pattern => ({
  vec: false,
  div: 1,
  mod: 1,
  full: false,
  ...part,
});

const FULL = same({ vec: true, full: true, load: (l) => `return ${l}[u.${l}0 + n * u.${l}_row + r];` });
const ONE = same({ load: (l) => `return vec4<f32>(${l}[u.${l}0]);` });
const BY_ROW = same({ load: (l) => `return vec4<f32>(${l}[u.${l}0 + n * u.${l}_row]);` });

/** The axes, from first to last, along which an operand varies under the output's shape; null: they are no neighbours. */
function varies(o: Operand, y: Shape): { first: number; last: number } | null {
  const lead = y.length - o.shape.length;
  const own = y.flatMap((extent, d) => (extent !== 1 && d >= lead && o.shape[d - lead] !== 1 ? [d] : []));
  if (own.length === 0) return { first: y.length, last: -1 };
  const [first, last] = [own[0], own[own.length - 1]];
  const between = y.slice(first, last + 1).filter((extent) => extent !== 1).length;
  return between === own.length ? { first, last } : null;
}

function patternOf(o: Operand, y: Operand): Pattern | null {
  if (sameShape(o.shape, y.shape))
    return o.offset % 4 === 0 && (isDense(o) || o.batchStride % 4 === 0) ? FULL : null;
  const at = varies(o, y.shape);
  if (!at) return null;
  if (at.last < 0) return ONE;
  if (at.last === 0) return o.shape.length === y.shape.length ? BY_ROW : null;
  if (at.first === 0 || !isDense(o)) return null;
  const mod = numel(y.shape.slice(at.first, at.last + 1));
  const div = numel(y.shape.slice(at.last + 1));
  if (div === 1) {
    const fits = mod % 4 === 0 && o.offset % 4 === 0;
    return fits
      ? same({ vec: true, mod: mod / 4, load: (l) => `return ${l}[u.${l}0 + r % u.${l}_mod];` })
      : null;
  }
  if (div % 4 !== 0) return null;
  return same({
    div: div / 4,
    mod,
    load: (l) => `return vec4<f32>(${l}[u.${l}0 + r / u.${l}_div % u.${l}_mod]);`,
  });
}

interface Vec4Plan {
  readonly patterns: readonly Pattern[];
  /** Vec4s of a row; all of the output's where nothing asks for rows. */
  readonly row4: number;
}

function vec4Plan(c: ChainCall): Vec4Plan | null {
  const [y] = c.outputs;
  const patterns = c.inputs.map((o) => patternOf(o, y));
  if (y.offset % 4 !== 0 || patterns.some((p) => p === null)) return null;
  const rowless = [...c.inputs, y].every(isDense) && patterns.every((p) => p?.full || p === ONE);
  const [row, total] = [rowSize(y.shape), numel(y.shape)];
  if (rowless ? total % 4 !== 0 : row % 4 !== 0 || !(isDense(y) || y.batchStride % 4 === 0)) return null;
  return { patterns: patterns as Pattern[], row4: (rowless ? total : row) / 4 };
}

const vec4: Kernel<ChainAttrs> = {
  name: "vec4",
  when: (c) => vec4Plan(c) !== null,
  score: (c) => (c.device.software ? -1 : 1),
  dispatches: (c) => {
    const { patterns, row4 } = vec4Plan(c) as Vec4Plan;
    const [y] = c.outputs;
    const { bind, uniforms, params, grid } = common(c);
    const hooks: Record<string, string> = { chain: chainBody(c.attrs) };
    const types: Record<string, string> = {};
    LETTERS.forEach((l, i) => {
      const [p, o] = [patterns[i], c.inputs[i]];
      if (p) {
        hooks[`load_${l}`] = p.load(l);
        types[`T${l.toUpperCase()}`] = vectorOf(p.vec ? 4 : 1);
      }
      const unit = p?.vec ? 4 : 1;
      const step = p?.full && isDense(o) ? row4 * 4 : (o?.batchStride ?? 0);
      Object.assign(uniforms, {
        [`${l}0`]: p ? o.offset / unit : 0,
        [`${l}_row`]: p && (p.full || p === BY_ROW) ? step / unit : 0,
        [`${l}_div`]: p?.div ?? 1,
        [`${l}_mod`]: p?.mod ?? 1,
      });
    });
    const total4 = numel(y.shape) / 4;
    const yn = isDense(y) ? row4 : y.batchStride / 4;
    return [
      {
        shader: "chain_vec4",
        params,
        types,
        hooks,
        bind,
        uniforms: { ...uniforms, y0: y.offset / 4, yn, total4, row4 },
        grid: grid(total4),
      },
    ];
  },
};

export const chainKernels: readonly Kernel<ChainAttrs>[] = [strided, vec4];
