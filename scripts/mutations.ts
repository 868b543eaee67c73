// The mutations of `npm run mutate`: each is a plausible bug, the tests that must notice it, and what their noticing
// proves. `from` must occur exactly once in its file, so a change of that line asks for a change here
// (test/cpu/mutations.test.ts says so at once).

export interface Mutation {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
  /** Test files that should catch it. */
  readonly tests: readonly string[];
  /** Only their tests whose full name matches, where the whole file would take long. */
  readonly only?: string;
  /** What it proves that the mutation is caught. */
  readonly proves: string;
}

const OPS = ["test/dawn/ops.test.ts"];
const PLANS = ["test/dawn/engine_plan.test.ts"];
const TORCH = ["test/cpu/nn_torch.test.ts"];

const KERNELS: readonly Mutation[] = [
  {
    name: "shader-sign",
    file: "shaders/cross_entropy_grad.wgsl",
    from: "(p - select(0.0, 1.0, i32(c) == k));",
    to: "(p + select(0.0, 1.0, i32(c) == k));",
    tests: OPS,
    only: "^crossEntropyGrad ",
    proves: "kernels are compared with the float64 reference element by element",
  },
  {
    name: "dropped-bound",
    file: "shaders/conv2d_strip.wgsl",
    from: "if (m < u.m && q0 + j < u.ow) {",
    to: "if (m < u.m) {",
    tests: OPS,
    only: "^conv2d > strip$",
    proves: "writes beyond an output's own elements are seen",
  },
  {
    name: "padding-off-by-one",
    file: "shaders/conv2d_direct.wgsl",
    from: "let ix = q * i32(u.sw) - u.pl + i32(s * u.dw);",
    to: "let ix = q * i32(u.sw) - u.pl + 1 + i32(s * u.dw);",
    tests: OPS,
    only: "^conv2d > direct$",
    proves: "a window that is shifted by one pixel is told from the right one",
  },
  {
    name: "padding-before-norm",
    file: "shaders/conv2d_strip.wgsl",
    from: "v[d] = select(0.0, prologue(x[row + u32(clamp(ix, 0, i32(u.iw) - 1))], ch), inside);",
    to: "v[d] = prologue(select(0.0, x[row + u32(clamp(ix, 0, i32(u.iw) - 1))], inside), ch);",
    tests: OPS,
    only: "^conv2d > strip$",
    proves: "padding is zero after a batch norm on load, not before it",
  },
  {
    name: "lost-part",
    file: "shaders/split_sum.wgsl",
    from: "for (var p = 0u; p < u.parts; p++) {",
    to: "for (var p = 1u; p < u.parts; p++) {",
    tests: OPS,
    only: "^matmul > gemm$",
    proves: "samples are long enough for products to be cut into parts, and all parts count",
  },
  {
    name: "tile-padding-before-norm",
    file: "shaders/conv2d_gemm.wgsl",
    from: "Staged(select(0.0, prologue(v, norms[row]), inside));",
    to: "Staged(prologue(select(0.0, v, inside), norms[row]));",
    tests: OPS,
    only: "^conv2d > window_gemm$",
    proves: "padding is zero after a batch norm on load in tiles, too",
  },
  {
    name: "tap-of-another-phase",
    file: "shaders/conv2d_group_input.wgsl",
    from: "if (reach % SW == 0u) {",
    to: "if (reach % SW != 1u) {",
    tests: OPS,
    only: "^conv2dInput > group$",
    proves: "strides beyond 2 are tried: there the taps between two pixels are of several kinds",
  },
  {
    name: "winograd-taps",
    file: "shaders/winograd_weight.wgsl",
    from: "return w[u32(i32(base) + i32(t) * u.wt)];",
    to: "return w[u32(i32(base) + i32(8u - t) * u.wt)];",
    tests: OPS,
    only: "^conv2d > winograd$",
    proves: "Winograd's weights are not taken backwards",
  },
  {
    name: "max-pool-ties",
    file: "shaders/max_pool2d.wgsl",
    from: "spot = select(spot, here, v > best);",
    to: "spot = select(spot, here, v >= best);",
    tests: OPS,
    only: "^maxPool2d ",
    proves: "of equal values in a window the first in row order is chosen, as in PyTorch",
  },
  {
    name: "matmul-bias",
    file: "src/ops/matmul.ts",
    from: "return bias ? [...grads, needs[2] ? sumTo(g, bias.shape) : null] : grads;",
    to: "return bias ? [...grads, null] : grads;",
    tests: ["test/cpu/ops.test.ts"],
    only: "^matmul ",
    proves: "the bias of a linear layer gets its gradient",
  },
  {
    name: "label-smoothing",
    file: "shaders/cross_entropy.wgsl",
    from: "loss += u.smoothing / f32(u.c) * (sw * lse - q);",
    to: "loss += u.smoothing / f32(u.c - 1u) * (sw * lse - q);",
    tests: OPS,
    only: "^crossEntropyRows ",
    proves: "smoothing spreads over all classes, the true one included",
  },
  {
    name: "batch-norm-eps",
    file: "src/ops/norm_shape.ts",
    from: "inverseSqrt(v1[u.o1 + c] + u.e0)",
    to: "inverseSqrt(v1[u.o1 + c])",
    tests: OPS,
    only: "^normalize ",
    proves: "a dropped eps lies outside of the derived bounds",
  },
  {
    name: "adam-eps",
    file: "src/ops/state_update.ts",
    from: "(sqrt(v1) * s(1u) + s(4u));",
    to: "(sqrt(v1) * s(1u));",
    tests: OPS,
    only: "^adam ",
    proves: "so it is for Adam's",
  },
];

const MATHEMATICS: readonly Mutation[] = [
  {
    name: "transposed-stride",
    file: "src/ops/matmul.ts",
    from: "return transposed ? [batch, 1, row] : [batch, row, 1];",
    to: "return transposed ? [batch, row, 1] : [batch, 1, row];",
    tests: TORCH,
    proves: "a mistake that reference and kernels share is caught by PyTorch's numbers",
  },
  {
    name: "unbiased-factor",
    file: "src/nn/functional.ts",
    from: "momentum, count / (count - 1));",
    to: "momentum, 1);",
    tests: TORCH,
    proves: "running variances are unbiased ones",
  },
  {
    name: "adam-bias-correction",
    file: "src/optim/adam.ts",
    from: "1 / Math.sqrt(1 - b2 ** t)",
    to: "1",
    tests: TORCH,
    proves: "optimizers follow PyTorch's step by step from the first",
  },
  {
    name: "vjp-ignores-needs",
    file: "src/ops/conv2d.ts",
    from: 'needs[0] ? call("conv2dInput", [g, w], { ...geo, size: [h, width] }) : null,',
    to: 'call("conv2dInput", [g, w], { ...geo, size: [h, width] }),',
    tests: ["test/cpu/ops.test.ts"],
    proves: "no gradient is built that nobody wants",
  },
  {
    name: "welford-merge",
    file: "src/ops/channel_stats.ts",
    from: "return add(v, mul(d, d));",
    to: "return v;",
    tests: ["test/dawn/engine_split.test.ts"],
    only: "Welford",
    proves: "the variance of a batch that was cut counts the spread of the parts' means",
  },
];

const ENGINE: readonly Mutation[] = [
  {
    name: "stale-hoist",
    file: "src/runtime/gpu_backend.ts",
    from: "if (p.versions?.every((v, i) => v === versions[i])) return;",
    to: "if (p.versions) return;",
    tests: PLANS,
    only: "^hoisting ",
    proves: "hoisted work is done again when the state that it came from has moved",
  },
  {
    name: "write-after-read",
    file: "src/schedule/state_times.ts",
    from: "r.read.version < e.version &&",
    to: "r.read.version > e.version &&",
    tests: ["test/dawn/engine_state.test.ts"],
    proves: "new state is not written before the last reader of the old one",
  },
  {
    name: "view-of-old-state",
    file: "src/schedule/work_graph.ts",
    from: "if (!state) return v;",
    to: "if (state !== undefined) return v;",
    tests: ["test/dawn/engine_state.test.ts"],
    proves: "a tensor that views state keeps the values of when it was made",
  },
  {
    name: "slot-reused-early",
    file: "src/schedule/slots.ts",
    from: "known.to = Math.max(known.to, i);",
    to: "known.to = Math.max(known.to, i - 1);",
    tests: PLANS,
    proves: "memory is not handed on while a later step still reads it",
  },
  {
    name: "plan-forgets-results",
    file: "src/schedule/memory.ts",
    from: 'outputs: of(p.owned, "output"),',
    to: "outputs: 0,",
    tests: ["test/dawn/plan_memory.test.ts"],
    only: "^the plan's bytes",
    proves: "a plan's bytes are compared with what is allocated, kind by kind",
  },
  {
    name: "gradient-of-nowhere",
    file: "src/autograd/backward.ts",
    from: 'at({ layer: c.site.layer, phase: "backward" }',
    to: 'at({ layer: null, phase: "backward" }',
    tests: ["test/cpu/sites.test.ts"],
    proves: "gradients count for the module whose gradients they are",
  },
  {
    name: "flat-state-alignment",
    file: "src/runtime/arena.ts",
    from: "offset += aligned(numel(v.shape));",
    to: "offset += numel(v.shape);",
    tests: PLANS,
    only: "^flat state ",
    proves: "slices of flat state begin at multiples of 256 bytes",
  },
  {
    name: "dropout-stream",
    file: "src/runtime/random_keys.ts",
    from: "stream: this.#stream++ };",
    to: "stream: this.#stream };",
    tests: ["test/dawn/engine_flush.test.ts"],
    only: "^randomness ",
    proves: "two dropouts on one tensor draw different masks",
  },
  {
    name: "frozen-batch-norm",
    file: "src/nn/freeze.ts",
    from: "m.training = frozen ? false : module.training;",
    to: "m.training = module.training;",
    tests: ["test/cpu/freeze.test.ts"],
    proves: "freeze() alone puts batch norms on their running statistics",
  },
  {
    name: "train-thaws-frozen",
    file: "src/nn/module.ts",
    from: "m.training = mode && !m.frozen;",
    to: "m.training = mode;",
    tests: PLANS,
    only: "^frozen parameters ",
    proves: "train() leaves frozen batch norms frozen, running statistics bit-identical",
  },
];

const REWRITTEN: readonly Mutation[] = [
  {
    name: "pool-first-padding",
    file: "src/schedule/rewrites/pool_first.ts",
    from: 'a.divisor === null && a.prologue === "none" && all(a.padding, 0);',
    to: 'a.divisor === null && a.prologue === "none";',
    tests: ["test/cpu/rewrites.test.ts"],
    only: "^poolFirst ",
    proves: "a pool that counts padding stays behind the convolution's bias",
  },
  {
    name: "norm-moment",
    file: "shaders/normalize_pass.wgsl",
    from: "moment += m * (b - V(s.z));",
    to: "moment += m * b;",
    tests: OPS,
    only: "^normalizePass ",
    proves: "the walk of a batch norm's gradient sums around the mean",
  },
  {
    name: "overlapping-in-place",
    file: "src/schedule/place.ts",
    from: "return rowA > stride || rowB > stride || (rowA > to && rowB > from);",
    to: "return rowA > stride && rowB > stride && from < 0;",
    tests: ["test/dawn/engine_state.test.ts"],
    proves: "a slice that is still read is not overwritten in place",
  },
  {
    name: "hoisted-effect",
    file: "src/schedule/place.ts",
    from: "const apart = this.#options.frozen.has(e.value.node);",
    to: "const apart = false;",
    tests: PLANS,
    only: "^effects of hoisted ",
    proves: "effects of hoisted values happen at every run",
  },
  {
    name: "run-waits-for-itself",
    file: "src/gpu/commands.ts",
    from: "        this.#inFlight.shift();",
    to: "        return this.#inFlight.shift();",
    tests: ["test/dawn/engine_device.test.ts"],
    only: "more runs",
    proves: "a loop that outruns the device goes on",
  },
  {
    name: "residual-of-first-picture",
    file: "src/ops/conv_store.ts",
    from: 'export const RESIDUAL = "residual[u.r0 + n * u.rn + at]";',
    to: 'export const RESIDUAL = "residual[u.r0 + at]";',
    tests: OPS,
    only: "^conv2d > direct$",
    proves: "what a convolution adds before its store is that of its own picture",
  },
  {
    name: "epilogue-drops-a-reader",
    file: "src/schedule/work_graph.ts",
    from: "return readers.length === 1 && !uses.held.has(v) ? readers[0] : null;",
    to: "return readers.length > 0 && !uses.held.has(v) ? readers[0] : null;",
    tests: ["test/cpu/rewrites.test.ts"],
    only: "^storeEpilogue ",
    proves: "sums that somebody else reads are stored",
  },
  {
    name: "chain-contracted",
    file: "shaders/chain_vec4.wgsl",
    from: "return bitcast<f32>(bitcast<u32>(v) ^ u.zero);",
    to: "return v;",
    tests: ["test/dawn/engine_fusion.test.ts"],
    only: "products and sums",
    proves: "a chain rounds what lies between its steps, like the single ops",
  },
  {
    name: "chain-reads-late",
    file: "src/schedule/work_graph.ts",
    from: "e.at > order(node) && e.at <= order(end)",
    to: "e.at > order(end)",
    tests: ["test/dawn/engine_fusion.test.ts"],
    only: "state that an effect changes",
    proves: "a chain does not read state later than its ops would have",
  },
];

const TUNED: readonly Mutation[] = [
  {
    name: "tuner-winner-unverified",
    file: "src/runtime/tuning/tune_call.ts",
    from: "const why = half ? null : await whole.objection(entry.ready);",
    to: "const why: string | null = null;",
    tests: ["test/dawn/tune.test.ts"],
    only: "^the tuner ",
    proves: "a kernel that is fast and wrong is not chosen",
  },
  {
    name: "tuner-text-ignored",
    file: "src/runtime/tuning/tuner.ts",
    from: "return c !== null && measurementOf(record, choiceOf(c))?.hash === c.hash;",
    to: "return c !== null && measurementOf(record, choiceOf(c)) !== undefined;",
    tests: ["test/dawn/tune.test.ts"],
    only: "^the tuner ",
    proves: "a measurement belongs to the text that was measured",
  },
  {
    name: "tuner-over-the-run",
    file: "src/schedule/select.ts",
    from: "const made = found(choices.get(key));",
    to: "const made = found(tuned?.(op, call) ?? choices.get(key));",
    tests: ["test/dawn/tune.test.ts"],
    only: "^a training run ",
    proves: "a resumed run keeps its own choice of kernels",
  },
];

const FILES: readonly Mutation[] = [
  {
    name: "legacy-keys",
    file: "src/models/densenet.ts",
    from: 'return name.replace(/^(.*denselayer\\d+\\.(?:norm|relu|conv))\\.([12]\\.)/, "$1$2");',
    to: "return name;",
    tests: ["test/cpu/state_dict.test.ts"],
    proves: "checkpoints with torchvision's old key names load",
  },
  {
    name: "unpickler-allow-list",
    file: "src/weights/globals.ts",
    from: '(builtin && !(module === "builtins" && BUILTIN_TYPES.has(name))) ||',
    to: '(builtin && name === "eval") ||',
    tests: ["test/cpu/weights_hostile.test.ts"],
    only: "globals",
    proves: "a pickle may name only what is on the list, called or not",
  },
  {
    name: "pillow-rounding",
    file: "src/data/resize.ts",
    from: "return Math.trunc((w < 0 ? -0.5 : 0.5) + w * (1 << PRECISION_BITS));",
    to: "return Math.trunc(0.5 + w * (1 << PRECISION_BITS));",
    tests: ["test/cpu/data_resize.test.ts"],
    proves: "resizing is compared with Pillow bit for bit",
  },
];

const KERAS: readonly Mutation[] = [
  {
    name: "keras-padding-in-front",
    file: "src/models/keras/layers.ts",
    from: "return [total >> 1, total - (total >> 1)];",
    to: "return [total - (total >> 1), total >> 1];",
    tests: ["test/dawn/keras_tfjs.test.ts", "test/cpu/keras_models.test.ts"],
    proves: "TensorFlow's uneven padding is compared with TensorFlow.js",
  },
  {
    name: "keras-flatten-order",
    file: "src/models/keras/layouts.ts",
    from: "const data = transpose(floats(e), [side, side, channels, outputs], [3, 2, 0, 1]);",
    to: "const data = transpose(floats(e), [side, side, channels, outputs], [3, 0, 1, 2]);",
    tests: ["test/cpu/keras_models.test.ts"],
    only: "flattens channels last",
    proves: "rows behind a Flatten are brought from channel-last to channel-first order",
  },
  {
    name: "keras-momentum",
    file: "src/models/keras/mobilenet_v2.ts",
    from: "{ eps: 1e-3, momentum: 1 - 0.999 }",
    to: "{ eps: 1e-3, momentum: 0.999 }",
    tests: ["test/cpu/keras_models.test.ts", "test/dawn/keras_tfjs.test.ts"],
    proves: "Keras' momentum is the old statistics' weight, PyTorch's the new ones'",
  },
  {
    name: "keras-kept-classes",
    file: "src/train/network.ts",
    from: "const rows = from.map((f) => data.subarray(f * row, (f + 1) * row));",
    to: "const rows = from.map((_f, i) => data.subarray(i * row, (i + 1) * row));",
    tests: ["test/dawn/keras_cli.test.ts"],
    proves: "a kept head's rows follow the order of the folder's classes",
  },
];

const ONNX = ["test/cpu/export_onnx.test.ts"];
const LAYERS = ["test/cpu/export_tfjs.test.ts"];

const WRITTEN: readonly Mutation[] = [
  {
    name: "onnx-ceil-mode",
    file: "src/export/onnx_layers.ts",
    from: "pads: padsOf(w.padding, extra),\n    dilations",
    to: "pads: padsOf(w.padding),\n    dilations",
    tests: ONNX,
    proves: "a pool's ceil mode is written into an ONNX file",
  },
  {
    name: "onnx-fixed-batch",
    file: "src/export/onnx_layers.ts",
    from: "free.includes(axis) ? -1 : d",
    to: "free.includes(axis) ? d : d",
    tests: ONNX,
    proves: "an ONNX file takes batches of other sizes than those that were recorded",
  },
  {
    name: "tfjs-zero-padding",
    file: "src/export/tfjs_pools.ts",
    from: "if (padded === x || g.isPositive(v)) return padded;",
    to: "if (padded === x || v) return padded;",
    tests: LAYERS,
    proves: "padding is no maximum of numbers below zero",
  },
  {
    name: "tfjs-flatten-order",
    file: "src/export/tfjs_layers.ts",
    from: "const pixel = x.shape.length === 4 && x.shape[2] * x.shape[3] === 1;",
    to: "const pixel = x.shape.length === 4;",
    tests: LAYERS,
    proves: "a flattened map meets a dense layer's weights in PyTorch's order, not in that of channels last",
  },
  {
    name: "tfjs-kernel-order",
    file: "src/export/tfjs_layers.ts",
    from: "out[(tap * c + group * cg + channel) * k + o] = data[i];",
    to: "out[(tap * c + group * cg + channel) * k + (k - 1 - o)] = data[i];",
    tests: LAYERS,
    proves: "a convolution's weights are put in the order of TensorFlow",
  },
  {
    name: "half-truncated",
    file: "src/core/half.ts",
    from: "(magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13",
    to: "(magnitude - 0x38000000) >> 13",
    tests: ["test/cpu/weights_torch_write.test.ts"],
    proves: "weights are rounded to the nearest half, not cut off",
  },
  {
    name: "pth-strides",
    file: "src/weights/pickle_write.ts",
    from: "out[d] = out[d + 1] * Math.max(shape[d + 1], 1)",
    to: "out[d] = out[d + 1] * Math.max(shape[d], 1)",
    tests: ["test/cpu/weights_torch_write.test.ts"],
    proves: "a tensor of a .pth file lies in it row by row",
  },
];

export const MUTATIONS: readonly Mutation[] = [
  ...KERNELS,
  ...MATHEMATICS,
  ...ENGINE,
  ...REWRITTEN,
  ...TUNED,
  ...FILES,
  ...KERAS,
  ...WRITTEN,
];

/** Why the mutation cannot be applied to its file's text, or null. */
export function misfit(m: Mutation, text: string): string | null {
  const found = text.split(m.from).length - 1;
  if (found !== 1)
    return `${m.name}: its pattern must occur once in ${m.file}, found ${found} times: ${m.from}`;
  if (m.from === m.to) return `${m.name}: changes nothing`;
  return null;
}
