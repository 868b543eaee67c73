// Splits and samples: shares, classes, groups, and that neither the order of files nor a missing one moves the rest.
import { describe, expect, it } from "vitest";
import { DataError, UsageError } from "../../src/core/error.ts";
import { Generator } from "../../src/core/random.ts";
import { groupsOf } from "../../src/data/groups.ts";
import { partition } from "../../src/data/partition.ts";
import { sample } from "../../src/data/sample.ts";
import { apportion, type Split, split } from "../../src/data/split.ts";

/** `sizes[c]` pictures of class c, classes mixed. */
function labelled(...sizes: number[]): number[] {
  return new Generator(1).shuffle(sizes.flatMap((n, c) => Array<number>(n).fill(c)));
}

const tally = (labels: readonly number[], part: readonly number[], classes: number) =>
  Array.from({ length: classes }, (_, c) => part.filter((i) => labels[i] === c).length);

function checkDisjoint(parts: Split, n: number): void {
  const all = [...parts.train, ...parts.val, ...parts.test].sort((a, b) => a - b);
  expect(all).toEqual(Array.from({ length: n }, (_, i) => i));
}

describe("split", () => {
  it("gives each part its share of every class, to within one picture", () => {
    for (const [val, test] of [
      [0.2, 0.1],
      [0.15, 0.15],
      [0.33, 0],
      [0, 0.5],
      [0.05, 0.85],
    ]) {
      const sizes = [250, 31, 17, 21, 100];
      const labels = labelled(...sizes);
      const parts = split(labels, { val, test, seed: 7 });
      checkDisjoint(parts, labels.length);
      const counts = [parts.train, parts.val, parts.test].map((p) => tally(labels, p, 5));
      for (const [c, n] of sizes.entries()) {
        for (const [p, share] of [1 - val - test, val, test].entries()) {
          const off = Math.abs(counts[p][c] - share * n);
          expect.soft(off, `class ${c} part ${p} of ${val}, ${test}`).toBeLessThanOrEqual(1);
        }
      }
    }
  });

  it("is exact where shares come out even", () => {
    const labels = labelled(10, 100, 250);
    const parts = split(labels, { val: 0.2, test: 0.1, seed: 3 });
    expect(tally(labels, parts.train, 3)).toEqual([7, 70, 175]);
    expect(tally(labels, parts.val, 3)).toEqual([2, 20, 50]);
  });

  it("gives a small class one picture in each part, train first", () => {
    const labels = [0, 1, 1, 2, 2, 2, ...Array<number>(40).fill(3)];
    const few = { val: 0.1, test: 0.1, seed: 0, classes: ["one", "two", "three", "many"] };
    const parts = split(labels, few);
    expect([parts.train, parts.val, parts.test].map((p) => tally(labels, p, 3))).toEqual([
      [1, 1, 1],
      [0, 1, 1],
      [0, 0, 1],
    ]);
    expect(parts.notes).toEqual([
      "class one has 1 picture, so there is none of it in val and test",
      "class two has 2 pictures, so there is none of it in test",
    ]);
    const most = split([0, 1, 1], { val: 0.9, seed: 0 });
    expect(tally([0, 1, 1], most.train, 2)).toEqual([1, 1]);
  });

  it("is decided by seed and key: not by the order of the files", () => {
    const labels = labelled(40, 60);
    const keys = labels.map((label, i) => `${label}/${i}.png`);
    const named = (seed: number, order: number[]) => {
      const l = order.map((i) => labels[i]);
      const k = order.map((i) => keys[i]);
      const groups = k.map((key) => key.replace(/\d\.png/, ""));
      const plain = split(l, { val: 0.2, test: 0.2, seed, keys: k });
      const grouped = split(l, { val: 0.2, test: 0.2, seed, keys: k, groups });
      return [plain, grouped].map((s) => [s.val, s.test].map((part) => part.map((i) => k[i]).sort()));
    };
    const straight = labels.map((_, i) => i);
    const mixed = new Generator(9).shuffle([...straight]);
    expect(named(5, mixed)).toEqual(named(5, straight));
    expect(named(6, straight)[0]).not.toEqual(named(5, straight)[0]);
    expect(named(6, straight)[1]).not.toEqual(named(5, straight)[1]);
  });

  it("draws without favour: every picture is held out about as often", () => {
    const labels = labelled(20, 20);
    const times = labels.map(() => 0);
    for (let seed = 0; seed < 400; seed++) for (const i of split(labels, { val: 0.25, seed }).val) times[i]++;
    // Binomial(400, 1/4): mean 100, standard deviation 8.7; 4.5 of those for the extreme of forty.
    expect(Math.min(...times)).toBeGreaterThan(61);
    expect(Math.max(...times)).toBeLessThan(139);
  });

  it("refuses shares that make no sense", () => {
    const bad =
      (val: number, test = 0) =>
      () =>
        split([0, 1], { val, test, seed: 0 });
    expect(bad(1)).toThrow(UsageError);
    expect(bad(1)).toThrow("val must be a share from 0 to below 1, not 1");
    expect(bad(-0.1)).toThrow(/not -0.1/);
    expect(bad(Number.NaN)).toThrow(/not NaN/);
    expect(bad(0, 20)).toThrow("test must be a share from 0 to below 1, not 20");
    expect(bad(0.5, 0.5)).toThrow("val 0.5 and test 0.5 together leave no pictures to train on");
  });
});

describe("split by groups", () => {
  /** `n` groups of 1 to `most` pictures, mostly of one class each. */
  function patients(n: number, most: number, classes: number, seed: number) {
    const random = new Generator(seed);
    const labels: number[] = [];
    const groups: string[] = [];
    for (let g = 0; g < n; g++) {
      const main = random.integer(classes);
      for (let k = 1 + random.integer(most); k > 0; k--) {
        labels.push(random.uniform() < 0.8 ? main : random.integer(classes));
        groups.push(`patient ${g}`);
      }
    }
    return { labels, groups };
  }

  it.each([1, 2, 3, 4, 5])("keeps groups whole and classes near their shares (seed %i)", (seed) => {
    const { labels, groups } = patients(120, 12, 4, seed);
    const parts = split(labels, { val: 0.2, test: 0.1, seed, groups });
    checkDisjoint(parts, labels.length);
    const members = [parts.train, parts.val, parts.test].map((p) => new Set(p.map((i) => groups[i])));
    expect(members[0].size + members[1].size + members[2].size).toBe(120);
    const whole = tally(labels, [...labels.keys()], 4);
    for (const [p, share] of [0.7, 0.2, 0.1].entries()) {
      const part = tally(labels, [parts.train, parts.val, parts.test][p], 4);
      for (let c = 0; c < 4; c++) expect.soft(Math.abs(part[c] / whole[c] - share)).toBeLessThan(0.03);
    }
  });

  it("equals the plain shares when every picture is a group of its own", () => {
    const labels = labelled(50, 20, 10);
    const parts = split(labels, { val: 0.2, test: 0.1, seed: 4, groups: labels.map((_, i) => `g${i}`) });
    expect([parts.train, parts.val, parts.test].map((p) => tally(labels, p, 3))).toEqual([
      [35, 14, 7],
      [10, 4, 2],
      [5, 2, 1],
    ]);
  });

  it("puts every class into every part when its groups allow it, and notes it when not", () => {
    const labels = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2];
    const groups = "a a a b b c d e f g h i".split(" ");
    const parts = split(labels, { val: 0.1, test: 0.1, seed: 0, groups, classes: ["x", "y", "z"] });
    for (const part of [parts.train, parts.val, parts.test]) {
      expect(tally(labels, part, 2)).not.toContain(0);
    }
    expect(tally(labels, parts.train, 3)[2]).toBe(1);
    expect(parts.notes).toEqual(["class z has 1 picture in 1 group, so there is none of it in val and test"]);
  });

  it("trains on a class that comes in one group, even when that is the smaller evil for val", () => {
    const labels = [...Array<number>(10).fill(0), ...Array<number>(10).fill(1)];
    const groups = labels.map((label, i) => (label === 1 ? "only" : `g${i}`));
    const parts = split(labels, { val: 0.8, seed: 0, groups });
    expect(tally(labels, parts.train, 2)[1]).toBe(10);
  });

  it("refuses fewer groups than parts", () => {
    expect(() => split([0, 1], { val: 0.5, seed: 0, groups: ["p", "p"] })).toThrow(
      "the pictures make only 1 group, too few for 2 parts",
    );
  });
});

describe("groupsOf", () => {
  it("takes the first capture group, else the whole match", () => {
    expect(groupsOf(["a/p1_x.png", "b/p2_y.png"], "/(p\\d)_")).toEqual(["p1", "p2"]);
    expect(groupsOf(["a/p1_x.png", "b/p2_y.png"], "p\\d")).toEqual(["p1", "p2"]);
  });

  it("refuses a bad pattern, and pictures without a group", () => {
    expect(() => groupsOf(["a"], "(")).toThrow(/^the group pattern \( is not a regular expression: /);
    expect(() => groupsOf(["a/1.png", "a/x.png", "a/y.png"], "(\\d)?\\.png")).toThrow(
      "the group pattern (\\d)?\\.png finds no group in 2 of 3 pictures, the first being a/x.png",
    );
  });
});

describe("apportion", () => {
  it("sums to the total, each within one of exact", () => {
    const random = new Generator(2);
    for (let trial = 0; trial < 300; trial++) {
      const weights = Array.from({ length: 1 + random.integer(8) }, () => random.integer(50));
      weights[0]++;
      const total = random.integer(100);
      const counts = apportion(total, weights);
      const sum = weights.reduce((a, b) => a + b, 0);
      expect(counts.reduce((a, b) => a + b, 0)).toBe(total);
      for (const [i, w] of weights.entries()) expect(Math.abs(counts[i] - (total * w) / sum)).toBeLessThan(1);
    }
    expect(apportion(5, [0, 0])).toEqual([0, 0]);
  });
});

describe("sample", () => {
  const labels = labelled(30, 12, 5);
  const classes = ["x", "y", "z"];

  it("takes so many of each class, and says where there are fewer", () => {
    const ten = sample(labels, { perClass: 10, seed: 1, classes });
    expect(tally(labels, ten.indices, 3)).toEqual([10, 10, 5]);
    expect(ten.notes).toEqual(["class z has only 5 of the 10 pictures asked for: all are taken"]);
    const four = sample(labels, { perClass: 4, seed: 1, classes });
    expect(four.notes).toEqual([]);
    expect(ten.indices).toEqual(expect.arrayContaining(four.indices)); // nested
    expect(sample(labels, { perClass: 4, seed: 2 }).indices).not.toEqual(four.indices);
  });

  it("takes so many in all, in proportion, at least one of each class", () => {
    const share = (limit: number) => tally(labels, sample(labels, { limit, seed: 1 }).indices, 3);
    expect(share(47)).toEqual([30, 12, 5]);
    expect(share(1000)).toEqual([30, 12, 5]);
    expect(share(9)).toEqual([6, 2, 1]);
    expect(share(3)).toEqual([1, 1, 1]);
    expect(tally(labels, sample(labels, { perClass: 10, limit: 5, seed: 1 }).indices, 3)).toEqual([2, 2, 1]);
  });

  it("keeps the proportions of given strata", () => {
    const strata = labels.map((_, i) => (i % 5 === 0 ? "val" : "train"));
    const { indices } = sample(labels, { perClass: 5, seed: 1, strata });
    const val = indices.filter((i) => strata[i] === "val");
    expect(tally(labels, val, 2)).toEqual([1, 1]);
    expect(tally(labels, indices, 3)).toEqual([5, 5, 5]);
  });

  it("refuses numbers that make no sense", () => {
    expect(() => sample(labels, { perClass: 0, seed: 1 })).toThrow(
      "per-class must be a whole number of at least 1, not 0",
    );
    expect(() => sample(labels, { limit: 2.5, seed: 1 })).toThrow(
      "limit must be a whole number of at least 1, not 2.5",
    );
    expect(() => sample(labels, { limit: 2, seed: 1 })).toThrow(
      "limit 2 is less than one for each of 3 classes",
    );
  });
});

describe("partition", () => {
  const paths =
    "tr/a/p1_0 tr/a/p1_1 tr/a/p2_2 tr/a/p3_3 tr/b/p4_0 tr/b/p4_1 tr/b/p5_2 tr/b/p6_3 te/a/p7_0 te/b/p8_0".split(
      " ",
    );
  const folder = {
    root: "DIR",
    paths,
    classes: ["a", "b"],
    labels: Int32Array.from(paths, (p) => (p.includes("/a/") ? 0 : 1)),
    parts: paths.map((p) => (p.startsWith("tr") ? ("train" as const) : ("test" as const))),
  };

  it("keeps the folder's own parts and takes the missing one from train", () => {
    const parts = partition(folder, { val: 0.25, seed: 0 });
    checkDisjoint(parts, 10);
    expect(parts.test).toEqual([8, 9]);
    expect(parts.val.map((i) => folder.labels[i]).sort()).toEqual([0, 1]);
  });

  it("refuses a share for a part that the folder has", () => {
    expect(() => partition(folder, { val: 0.2, test: 0.1, seed: 0 })).toThrow(
      "DIR has a test folder, so --test cannot be honoured: leave it out, or give DIR/tr",
    );
  });

  it("keeps groups whole, and refuses parts that share one", () => {
    const parts = partition(folder, { val: 0.5, seed: 0, group: "(p\\d)_" });
    const patients = (part: number[]) => new Set(part.map((i) => paths[i].slice(5, 7)));
    expect([...patients(parts.train)].filter((p) => patients(parts.val).has(p))).toEqual([]);
    const leaky = { ...folder, paths: paths.map((p) => p.replace("p7", "p1")) };
    expect(() => partition(leaky, { seed: 0, group: "(p\\d)_" })).toThrow(DataError);
    expect(() => partition(leaky, { seed: 0, group: "(p\\d)_" })).toThrow(
      "group p1 is in train and in test (tr/a/p1_0, te/a/p1_0): give one undivided folder instead",
    );
  });

  it("samples before it divides, and passes all notes on", () => {
    const whole = { ...folder, parts: null };
    const parts = partition(whole, { val: 0.5, seed: 0, perClass: 2 });
    expect([parts.train.length, parts.val.length, parts.notes]).toEqual([2, 2, []]);
    const notes = partition(whole, { val: 0.2, test: 0.2, seed: 0, perClass: 6, limit: 2 }).notes;
    expect(notes.length).toBe(4);
    expect(partition(folder, { seed: 0, limit: 4 }).test.length).toBe(2);
  });
});
