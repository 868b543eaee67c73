// jax-js on WebGPU as a peer; ../serve.ts has the protocol. Steps are jitted whole: forward, backward, batch-norm
// statistics and Adam in one call.
import { readFileSync } from "node:fs";
import { countCalls, provideGpu, serve } from "../serve.ts";
import { readSafetensors } from "./safetensors.mjs";

const adapterName = await provideGpu();
const jax = await import("@jax-js/jax");
await jax.init("webgpu");
jax.defaultDevice("webgpu");
const { forward, parametersOf } = await import("./densenet_jax.mjs");
const { jit, nn, numpy: np, tree, valueAndGrad, blockUntilReady } = jax;
const { version } = JSON.parse(
  readFileSync(new URL("./node_modules/@jax-js/jax/package.json", import.meta.url), "utf8"),
);

let state = null;

const f32 = (data, shape) => np.array(Float32Array.from(data), { shape, dtype: np.float32 });
const zerosLike = (arrays) =>
  Object.fromEntries(Object.entries(arrays).map(([k, v]) => [k, np.zeros(v.shape)]));
const drop = (...trees) => {
  for (const t of trees) for (const a of Object.values(t)) a.dispose?.();
};

/** Uses of tensors that lie in several records. */
const getter =
  (...records) =>
  (name) =>
    records.find((r) => name in r)[name].ref;

function evaluate(trained, moving, frozen, x) {
  const out = forward(x, getter(trained, moving, frozen), null, "forward");
  drop(trained, moving, frozen);
  return out;
}

const lossOf = (what) => (trained, moving, frozen, x, target) => {
  const now = {};
  const moved = (name, value) => {
    now[name] = value;
  };
  const logits = forward(x, getter(trained, moving, frozen), moved, what);
  drop(trained, moving, frozen);
  return [np.mean(np.sum(nn.logSoftmax(logits).mul(target), 1)).neg(), now];
};

/** One step of Adam as PyTorch's: rate = lr/(1-b1ᵗ), c2 = 1/√(1-b2ᵗ). */
const trainingStep = (what, { betas: [b1, b2], eps }) => {
  const gradients = valueAndGrad(lossOf(what), { hasAux: true });
  return (trained, m, v, moving, frozen, x, target, rate, c2) => {
    const [[loss, statistics], g] = gradients(tree.ref(trained), moving, frozen, x, target);
    const [p1, m1, v1] = [{}, {}, {}];
    for (const k of Object.keys(trained)) {
      m1[k] = m[k].mul(b1).add(g[k].ref.mul(1 - b1));
      v1[k] = v[k].mul(b2).add(g[k].ref.mul(g[k]).mul(1 - b2));
      const divisor = np.sqrt(v1[k].ref).mul(c2.ref).add(eps);
      p1[k] = trained[k].sub(m1[k].ref.mul(rate.ref).div(divisor));
    }
    drop({ rate, c2 });
    return [p1, m1, v1, statistics, loss];
  };
};

function load({ weights, what, adam }) {
  const tensors = readSafetensors(weights);
  const [x, y] = [tensors.get("bench.x"), tensors.get("bench.y")];
  const parts = parametersOf(tensors, what);
  const target = new Float32Array(y.data.length * 1000);
  y.data.forEach((label, i) => {
    target[i * 1000 + label] = 1;
  });
  state = {
    ...parts,
    what,
    adam,
    x: f32(x.data, x.shape),
    target: f32(target, [y.data.length, 1000]),
    m: zerosLike(parts.trained),
    v: zerosLike(parts.trained),
    steps: 0,
    evaluate: jit(evaluate),
    train: what === "forward" ? null : jit(trainingStep(what, adam)),
  };
  return {
    trained: Object.values(parts.trained).reduce((n, a) => n + a.size, 0),
    adapter: `${adapterName}, jax-js ${version}`,
  };
}

async function logits() {
  const { trained, moving, frozen, x } = state;
  const out = state.evaluate(tree.ref(trained), tree.ref(moving), tree.ref(frozen), x.ref);
  return { logits: Array.from(await out.data()) };
}

async function train() {
  const { adam, frozen, x, target } = state;
  state.steps++;
  const rate = f32([adam.lr / (1 - adam.betas[0] ** state.steps)], []);
  const c2 = f32([1 / Math.sqrt(1 - adam.betas[1] ** state.steps)], []);
  const [trained, m, v, moving, loss] = state.train(
    ...[state.trained, state.m, state.v, state.moving],
    ...[tree.ref(frozen), x.ref, target.ref, rate, c2],
  );
  Object.assign(state, { trained, m, v, moving });
  await blockUntilReady([trained, m, v, moving]);
  return (await loss.data())[0];
}

async function step({ count }) {
  const watch = count ? countCalls() : null;
  const began = performance.now();
  const forwardOnly = state.what === "forward";
  const loss = forwardOnly ? null : await train();
  const out = forwardOnly ? await logits() : null;
  const ms = performance.now() - began;
  watch?.stop();
  return { ms, loss, ...(count ? out : null), ...watch?.counts };
}

await serve({ load, logits, step });
process.exit(0);
