// Where nodes say that they were made: the innermost module's path, forward and backward apart, updates by themselves.
// Rewrites keep it, and what a node is does not hang on it.
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Node } from "../../src/graph/node.ts";
import { close, init, models, nn, noGrad, optim, type Tensor, tensor } from "../../src/index.ts";
import { runtime } from "../../src/runtime/context.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { rewrite } from "../../src/schedule/rewrites/index.ts";
import { workGraph } from "../../src/schedule/work_graph.ts";
import { takeCut } from "../lib/cuts.ts";
import { wave } from "../lib/engine.ts";

beforeAll(() => init({ device: "cpu", seed: 1 }));
afterAll(close);

const place = ({ site }: Node) => `${site.layer?.path ?? "-"} ${site.phase}`;
const placesOf = (nodes: readonly Node[], op: string) =>
  nodes.filter((n) => n.op?.name === op).map((n) => place(n));

function step(model: models.DenseNet): Node[] {
  const loss = nn.functional.crossEntropy(model.forward(wave([2, 3, 32, 32])), tensor(Int32Array.of(0, 1)));
  loss.backward();
  const { nodes } = rewrite(workGraph(takeCut()), undefined);
  return [...nodes];
}

describe("a node's site", () => {
  it("is the innermost module by its dotted path, forward and backward apart, whatever was rewritten", () => {
    const model = models.densenet_mini({ numClasses: 2 }).train();
    const nodes = step(model);
    const convolutions = [...model.namedModules()].filter(([, m]) => m instanceof nn.Conv2d).map(([n]) => n);
    expect(placesOf(nodes, "conv2d")).toEqual(convolutions.map((n) => `${n} forward`));
    expect(new Set(placesOf(nodes, "conv2dWeight"))).toEqual(
      new Set(convolutions.map((n) => `${n} backward`)),
    );
    // The first layer of all needs no gradient of its input.
    expect(placesOf(nodes, "conv2dInput").sort()).toEqual(
      convolutions
        .slice(1)
        .map((n) => `${n} backward`)
        .sort(),
    );
    // A batch norm that took in its ReLU is still the batch norm's.
    const walks = ["normalizePass", "normalizeCorrected"].flatMap((op) => placesOf(nodes, op));
    expect(walks.length).toBeGreaterThan(0);
    for (const p of walks) expect(p).toMatch(/norm\d?(\.\d)? backward$/);
    // The head's product is inside; the loss, whose gradient this is, is outside of the model.
    expect(placesOf(nodes, "matmul").filter((p) => p.endsWith("forward"))).toEqual(["classifier forward"]);
    expect(placesOf(nodes, "crossEntropyGrad")).toEqual(["- backward"]);
  });

  it("of an optimizer's step is the update, whoever calls it", () => {
    class Steps extends nn.Module {
      layer = new nn.Linear(2, 2);
      opt = new optim.SGD(this.layer.parameters(), { lr: 1 });
      forward(x: Tensor): Tensor {
        const y = this.layer.forward(x).sum();
        y.backward();
        void this.opt.step();
        return y;
      }
    }
    const submit = vi.spyOn(runtime(), "submit").mockImplementation(() => {});
    new Steps().forward(wave([3, 2]));
    const [cut] = submit.mock.calls.at(-1) as Parameters<Runtime["submit"]>;
    submit.mockRestore();
    expect(placesOf(cut.nodes, "sgd")).toEqual(["- update"]);
    expect(placesOf(cut.nodes, "matmul")).toEqual(["layer forward", "layer backward"]);
  });

  it("is relative to the module that is called first, and of a shared one the first name", () => {
    const inner = new nn.Sequential(new nn.Linear(2, 2));
    const outer = new nn.Sequential({ first: inner, again: inner });
    const y = noGrad(() => inner.forward(wave([1, 2], 1)));
    const z = noGrad(() => outer.forward(wave([1, 2], 2)));
    expect(place(y.variable.value.node)).toBe("0 forward");
    expect(place(z.variable.value.node)).toBe("first.0 forward");
  });

  it("is not part of what a node is: the same operation elsewhere is the same node, named by who made it first", () => {
    class Twice extends nn.Module {
      forward(x: Tensor): Tensor {
        return x.sin();
      }
    }
    const x = wave([3]);
    const outside = x.sin();
    const inside = new Twice().forward(x);
    expect(inside.variable.value).toBe(outside.variable.value);
    expect(place(inside.variable.value.node)).toBe("- forward");
  });
});
