// Specialising WGSL files. A file is valid WGSL as it stands; lines with a mark may be rewritten, in place, so that line
// numbers survive: `const N = 4u; //@param`, `alias V = f32; //@type`, `fn f(x: f32) -> f32 { … } //@hook` (the body),
// `//@include name` (appended at the end). One struct called Sizes gives the uniform's fields. A type with f16 in it
// enables that in front of the first line.

export interface Specialisation {
  readonly params?: Readonly<Record<string, number>>;
  readonly types?: Readonly<Record<string, string>>;
  readonly hooks?: Readonly<Record<string, string>>;
}

export interface Binding {
  readonly name: string;
  readonly index: number;
  readonly access: "uniform" | "read" | "read_write";
}

/** One field of the uniform: where it lies and how it is written. */
export interface Field {
  readonly name: string;
  readonly kind: "u32" | "i32" | "f32" | "u32x8";
  readonly offset: number;
}

export interface ShaderInfo {
  readonly bindings: readonly Binding[];
  readonly fields: readonly Field[];
  /** Bytes of the uniform struct. */
  readonly size: number;
}

const PARAM = /^const (\w+) = [^;]+; \/\/@param$/;
const TYPE = /^alias (\w+) = [^;]+; \/\/@type$/;
const HOOK = /^(fn (\w+)\([^)]*\)(?: -> [\w<>]+)?) \{.*\} \/\/@hook$/;
const INCLUDE = /^\/\/@include (\w+)$/;
const BINDING = /^@group\(0\) @binding\((\d+)\) var<(uniform|storage, read|storage, read_write)> (\w+):/;

/** Rewrites the marked lines; a name that the file does not have is an error, never ignored. */
export function specialise(name: string, sources: ReadonlyMap<string, string>, s: Specialisation): string {
  const source = sources.get(name);
  if (source === undefined) throw new Error(`there is no shader called ${name}`);
  const used = new Set<string>();
  const tail: string[] = [];
  const take = (kind: string, key: string, table: Readonly<Record<string, unknown>> | undefined): boolean => {
    if (table?.[key] === undefined) return false;
    used.add(`${kind} ${key}`);
    return true;
  };
  const lines = source.split("\n").map((line) => {
    const param = PARAM.exec(line);
    if (param && take("param", param[1], s.params)) return `const ${param[1]} = ${s.params?.[param[1]]}u;`;
    const type = TYPE.exec(line);
    if (type && take("type", type[1], s.types)) return `alias ${type[1]} = ${s.types?.[type[1]]};`;
    const hook = HOOK.exec(line);
    if (hook && take("hook", hook[2], s.hooks)) return `${hook[1]} { ${s.hooks?.[hook[2]]} }`;
    const include = INCLUDE.exec(line);
    if (include) tail.push(sources.get(include[1]) ?? missing(name, include[1]));
    return line;
  });
  for (const [kind, table] of [
    ["param", s.params],
    ["type", s.types],
    ["hook", s.hooks],
  ] as const) {
    for (const key of Object.keys(table ?? {})) {
      if (!used.has(`${kind} ${key}`)) throw new Error(`${name}.wgsl has no ${kind} called ${key}`);
    }
  }
  const half = Object.values(s.types ?? {}).some((t) => t.includes("f16"));
  return (half ? "enable f16; " : "") + [...lines, ...tail].join("\n");
}

function missing(shader: string, include: string): never {
  throw new Error(`${shader}.wgsl includes ${include}, which does not exist`);
}

const infos = new Map<string, ShaderInfo>();

/** Bindings and uniform layout of a file. */
export function shaderInfo(name: string, sources: ReadonlyMap<string, string>): ShaderInfo {
  let info = infos.get(name);
  if (!info) {
    info = parse(name, sources.get(name) ?? missing(name, name));
    infos.set(name, info);
  }
  return info;
}

function parse(name: string, source: string): ShaderInfo {
  const bindings: Binding[] = [];
  const fields: Field[] = [];
  let inSizes = false;
  let offset = 0;
  for (const line of source.split("\n")) {
    const b = BINDING.exec(line);
    if (b)
      bindings.push({
        name: b[3],
        index: Number(b[1]),
        access: b[2] === "uniform" ? "uniform" : b[2] === "storage, read" ? "read" : "read_write",
      });
    if (line === "struct Sizes {") inSizes = true;
    else if (line === "}") inSizes = false;
    else if (inSizes) {
      const f = /^ {2}(\w+): (u32|i32|f32|array<vec4<u32>, 2>),$/.exec(line);
      if (!f) throw new Error(`${name}.wgsl: cannot read the Sizes field "${line.trim()}"`);
      const wide = f[2].startsWith("array");
      if (wide) offset = Math.ceil(offset / 16) * 16;
      fields.push({ name: f[1], kind: wide ? "u32x8" : (f[2] as "u32"), offset });
      offset += wide ? 32 : 4;
    }
  }
  return { bindings, fields, size: Math.ceil(offset / 16) * 16 };
}

/** Writes uniform values by field name; missing and unknown names are errors. */
export function packUniforms(
  name: string,
  info: ShaderInfo,
  values: Readonly<Record<string, number | readonly number[]>>,
  into: DataView,
): void {
  const known = new Set(info.fields.map((f) => f.name));
  for (const key of Object.keys(values))
    if (!known.has(key)) throw new Error(`${name}.wgsl: Sizes has no field ${key}`);
  for (const f of info.fields) {
    const v = values[f.name];
    if (v === undefined) throw new Error(`${name}.wgsl: the Sizes field ${f.name} was not given`);
    if (f.kind === "u32x8")
      (v as readonly number[]).forEach((e, i) => {
        into.setUint32(f.offset + 4 * i, checkWhole(name, f.name, e), true);
      });
    else if (f.kind === "f32") into.setFloat32(f.offset, v as number, true);
    else if (f.kind === "i32") into.setInt32(f.offset, v as number, true);
    else into.setUint32(f.offset, checkWhole(name, f.name, v as number), true);
  }
}

/** A u32 field must be given a whole number in range: a fraction or -1 here is a bug in a kernel's arithmetic. */
function checkWhole(shader: string, field: string, v: number): number {
  if (!Number.isInteger(v) || v < 0 || v > 0xffff_ffff)
    throw new Error(`${shader}.wgsl: the Sizes field ${field} got ${v}, which is no u32`);
  return v;
}
