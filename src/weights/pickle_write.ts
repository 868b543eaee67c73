// Writing the one kind of pickle that a PyTorch state dict is: an OrderedDict of tensors, protocol 2, with nothing in
// it that torch.load(weights_only=True) refuses. Opcodes: Lib/pickletools.py; layout: torch/_tensor.py, __reduce_ex__.

/** A tensor as a pickle describes it: a storage by key, and the whole of it under a shape. */
export interface PickledTensor {
  readonly name: string;
  /** Class of the storage in torch: "FloatStorage". */
  readonly storage: string;
  readonly key: string;
  readonly shape: readonly number[];
  /** Elements of the storage. */
  readonly count: number;
}

const OP = {
  proto: 0x80,
  global: 0x63, // c
  mark: 0x28, // (
  emptyTuple: 0x29, // )
  tuple: 0x74, // t
  reduce: 0x52, // R
  setItems: 0x75, // u
  unicode: 0x58, // X
  put: 0x72, // r, 4 bytes
  get: 0x6a, // j, 4 bytes
  int1: 0x4b, // K
  int4: 0x4a, // J
  long: 0x8a, // LONG1
  false: 0x89,
  persistent: 0x51, // Q
  stop: 0x2e, // .
} as const;

class PickleWriter {
  readonly #bytes: number[] = [OP.proto, 2];
  readonly #globals = new Map<string, number>();

  op(...codes: number[]): void {
    for (const code of codes) this.#bytes.push(code);
  }

  #u32(value: number): void {
    for (let shift = 0; shift < 32; shift += 8) this.#bytes.push((value >>> shift) & 255);
  }

  text(value: string): void {
    const bytes = new TextEncoder().encode(value);
    this.op(OP.unicode);
    this.#u32(bytes.length);
    this.op(...bytes);
  }

  /** A whole number from 0 to 2⁵³. */
  whole(value: number): void {
    if (value < 256) this.op(OP.int1, value);
    else if (value < 2 ** 31) {
      this.op(OP.int4);
      this.#u32(value);
    } else {
      // Two's complement of eight bytes; the top one is clear, so the number is not taken for negative.
      this.op(OP.long, 8);
      this.#u32(value % 2 ** 32);
      this.#u32(Math.floor(value / 2 ** 32));
    }
  }

  /** A name of a module: written once, then fetched from the memo. */
  global(module: string, name: string): void {
    const path = `${module}\n${name}\n`;
    const known = this.#globals.get(path);
    if (known !== undefined) {
      this.op(OP.get);
      this.#u32(known);
      return;
    }
    this.op(OP.global, ...new TextEncoder().encode(path), OP.put);
    this.#u32(this.#globals.size);
    this.#globals.set(path, this.#globals.size);
  }

  tuple(items: readonly (() => void)[]): void {
    this.op(OP.mark);
    for (const item of items) item();
    this.op(OP.tuple);
  }

  finish(): Uint8Array {
    this.op(OP.stop);
    return Uint8Array.from(this.#bytes);
  }
}

/** Row-major strides in elements, as torch counts them: an extent of 0 is taken as 1. */
function stridesOf(shape: readonly number[]): number[] {
  const out = new Array<number>(shape.length).fill(1);
  for (let d = shape.length - 2; d >= 0; d--) out[d] = out[d + 1] * Math.max(shape[d + 1], 1);
  return out;
}

function writeTensor(w: PickleWriter, t: PickledTensor): void {
  const numbers = (list: readonly number[]) => () => w.tuple(list.map((v) => () => w.whole(v)));
  const orderedDict = () => {
    w.global("collections", "OrderedDict");
    w.op(OP.emptyTuple, OP.reduce);
  };
  w.text(t.name);
  w.global("torch._utils", "_rebuild_tensor_v2");
  w.tuple([
    () => {
      w.tuple([
        () => w.text("storage"),
        () => w.global("torch", t.storage),
        () => w.text(t.key),
        () => w.text("cpu"),
        () => w.whole(t.count),
      ]);
      w.op(OP.persistent);
    },
    () => w.whole(0),
    numbers(t.shape),
    numbers(stridesOf(t.shape)),
    () => w.op(OP.false),
    orderedDict,
  ]);
  w.op(OP.reduce);
}

/** The pickle of an OrderedDict of these tensors, in their order. */
export function pickleStateDict(tensors: readonly PickledTensor[]): Uint8Array {
  const w = new PickleWriter();
  w.global("collections", "OrderedDict");
  w.op(OP.emptyTuple, OP.reduce, OP.mark);
  for (const t of tensors) writeTensor(w, t);
  w.op(OP.setItems);
  return w.finish();
}
