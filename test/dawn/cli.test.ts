// thaw finetune, eval and predict as a user runs them: a small network on small pictures, real processes. The same seed
// gives the same weights, killed and resumed or not; broken pictures are named; a loss that is no number stops the run.

import { cp, readdir, readFile, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { close, loadRun, weights } from "../../src/index.ts";
import { colours, put, scratch, thaw } from "../lib/cli.ts";

let folder: Awaited<ReturnType<typeof scratch>>;
let pictures: string;
const at = (...parts: string[]) => join(folder.path, ...parts);
const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

/** A quick run: a small network from random weights. */
const quick = (dir: string, out: string, ...more: string[]) => [
  ...[
    "finetune",
    dir,
    "--model",
    "densenet_mini",
    "--weights",
    "none",
    "--image-size",
    "32",
    "--batch-size",
    "8",
  ],
  ...["--epochs", "3", "--lr", "0.003", "--out", out, "--json", ...more],
];

beforeAll(async () => {
  folder = await scratch();
  pictures = await colours(at("pictures"), 20);
});
afterAll(async () => {
  await close();
  await folder.remove();
});

const bytes = (run: string) => readFile(join(run, "model.safetensors"));

describe("a run", () => {
  test("tells its epochs, ends with its scores, and leaves the folder that the README describes", async () => {
    const r = await thaw(quick(pictures, at("run")));
    expect(r.err.includes("thaw:"), r.err).toBe(false);
    expect(r.code).toBe(0);
    const lines = r.lines();
    expect(lines.map((l) => l["event"])).toEqual(["start", "epoch", "epoch", "epoch", "done"]);
    expect(lines[0]).toMatchObject({
      classes: ["blue", "green", "red"],
      train: 42,
      val: 12,
      test: 6,
      trainable: lines[0]["parameters"],
    });
    const done = lines.at(-1) as {
      run: string;
      val: { accuracy: number };
      test: { accuracy: number; loss: number };
    };
    expect(done.run).toBe(at("run"));
    // Colours that differ by half the range: whoever learns anything learns this.
    expect(done.val.accuracy).toBeGreaterThan(0.9);
    const info = JSON.parse(await readFile(at("run/run.json"), "utf8"));
    expect(info).toMatchObject({ status: "finished", seed: 0, classes: ["blue", "green", "red"] });
    expect(info.metrics.test).toEqual(done.test);
    expect(info.preprocessing).toMatchObject({ resize: 32, crop: 32 });
    expect((await readdir(at("run/checkpoint"))).sort()).toEqual(["best.safetensors", "last.safetensors"]);
    const metrics = (await readFile(at("run/metrics.jsonl"), "utf8"))
      .trim()
      .split("\n")
      .map((l) => JSON.parse(l));
    expect(metrics.map((m) => m.epoch)).toEqual([1, 2, 3]);
    expect(metrics[1].val).toEqual((lines[2] as { val: unknown }).val);
  });

  test("predict, eval and loadRun agree on it", async () => {
    const one = at("pictures/red/red-003.png");
    const [told] = (await thaw(["predict", at("run"), one, "--json"])).lines() as {
      top: { class: string; p: number }[];
    }[];
    expect(told).toMatchObject({ file: one });
    expect(told.top[0].class).toBe("red");
    const run = await loadRun(at("run"));
    const p = await run.predict(one);
    expect(p.top.map((t) => t.class)).toEqual(told.top.map((t) => t.class));
    expect(p.p).toBeCloseTo(told.top[0].p, 6);
    expect(p.top.reduce((n, t) => n + t.p, 0)).toBeCloseTo(1, 6);
    const csv = await thaw(["predict", at("run"), at("pictures"), "--top", "2"]);
    const rows = csv.out.trim().split("\n");
    expect(rows[0]).toBe("file,class,p,class2,p2");
    expect(rows).toHaveLength(61);
    const red = rows.find((row) => row.startsWith(`${one},`))?.split(",");
    expect(red?.[1]).toBe("red");
    expect(Number(red?.[2])).toBeCloseTo(p.p, 5);
    const tested = (await thaw(["eval", at("run"), at("pictures"), "--json"])).lines()[0] as {
      count: number;
      accuracy: number;
      confusion: number[][];
    };
    expect(tested.count).toBe(60);
    const right = rows.slice(1).filter((row) => row.includes(`/${row.split(",")[1]}/`)).length;
    expect(tested.accuracy).toBeCloseTo(right / 60, 9);
    expect(tested.confusion.map((row) => row.reduce((a, b) => a + b))).toEqual([20, 20, 20]);
  });

  test("is not overwritten", async () => {
    const r = await thaw(quick(pictures, at("run")));
    expect(r.code).toBe(2);
    expect(r.err).toMatch(/run holds a run already: go on with it by --resume/);
  });

  test("the same seed gives the same bits, another seed others", async () => {
    await thaw(quick(pictures, at("again")));
    expect((await bytes(at("again"))).equals(await bytes(at("run")))).toBe(true);
    await thaw(quick(pictures, at("other"), "--seed", "1"));
    expect((await bytes(at("other"))).equals(await bytes(at("run")))).toBe(false);
  });

  test("killed in mid-epoch and resumed it ends with the same bits and the same metrics", async () => {
    // With a checkpoint after every step, the second epoch's first ones are enough to be in its middle.
    const args = [...quick(pictures, at("killed"), "--checkpoint-seconds", "0")];
    let armed = 0;
    const killed = await thaw(args, {
      watch: (text) => {
        if (text.includes('"epoch":1,') && text.includes('"event":"epoch"') && armed === 0) {
          armed = 1;
          setTimeout(() => {
            armed = 2;
          }, 700);
        }
        return armed === 2 || /epoch 2\/3 [2-5]\/5/.test(text) ? "SIGKILL" : null;
      },
    });
    expect(killed.code).not.toBe(0);
    const resumed = await thaw([...args, "--resume"]);
    expect(resumed.code, resumed.err).toBe(0);
    expect(resumed.lines().some((l) => l["event"] === "resumed")).toBe(true);
    expect((await bytes(at("killed"))).equals(await bytes(at("run")))).toBe(true);
    const metrics = async (run: string) =>
      (await readFile(join(run, "metrics.jsonl"), "utf8"))
        .trim()
        .split("\n")
        .map((l) => {
          const { train, val, step } = JSON.parse(l);
          return { train, val, step };
        });
    expect(await metrics(at("killed"))).toEqual(await metrics(at("run")));
  });

  test("Ctrl-C leaves a checkpoint, and --resume with more epochs goes on from a finished run", async () => {
    const args = quick(pictures, at("stopped"));
    let sent = false;
    const stopped = await thaw(args, {
      watch: (text) => {
        if (sent || !text.includes('"event":"epoch"')) return null;
        sent = true;
        return "SIGINT";
      },
    });
    expect(stopped.code).toBe(1);
    expect(stopped.err).toMatch(/thaw: interrupted: a checkpoint is in .*stopped\/checkpoint/);
    // The command that it names is enough: everything else, the number of epochs too, is the run's own.
    const command = /go on by: node \S+main\.ts (finetune .* --resume)$/.exec(stopped.err.trim())?.[1];
    await put(at("stopped/checkpoint/last.safetensors.999999999-abc.tmp"), new Uint8Array(9));
    const resumed = await thaw([...(command as string).split(" "), "--json"]);
    expect(resumed.code, resumed.err).toBe(0);
    // What a killed process left half-written is gone.
    expect((await readdir(at("stopped/checkpoint"))).sort()).toEqual([
      "best.safetensors",
      "last.safetensors",
    ]);
    expect((await bytes(at("stopped"))).equals(await bytes(at("run")))).toBe(true);
    const more = await thaw([...args, "--epochs", "4", "--resume"]);
    const lines = more.lines();
    expect(lines.filter((l) => l["event"] === "epoch").map((l) => l["epoch"])).toEqual([4]);
  });

  test("killed before its first checkpoint it begins from the start", async () => {
    await put(at("begun/run.json"), await readFile(at("run/run.json")));
    const r = await thaw(quick(pictures, at("begun"), "--resume"));
    expect(r.lines()[0]).toMatchObject({
      event: "note",
      text: expect.stringMatching(/begun holds no checkpoint yet/),
    });
    expect((await bytes(at("begun"))).equals(await bytes(at("run")))).toBe(true);
  });

  test("a resumed run keeps its options and its pictures", async () => {
    const other = await thaw(quick(pictures, at("run"), "--lr", "0.1", "--resume"));
    expect(other.code).toBe(2);
    expect(other.err).toMatch(/lr 0\.1: the run was begun with 0\.003/);
    await cp(pictures, at("fewer"), { recursive: true, filter: (f) => !f.endsWith("red-000.png") });
    const fewer = await thaw(quick(at("fewer"), at("run"), "--resume"));
    expect(fewer.code).toBe(1);
    expect(fewer.err).toMatch(/fewer does not hold the pictures/);
    await cp(pictures, at("changed"), { recursive: true });
    await cp(at("changed/red/red-001.png"), at("changed/red/red-000.png"));
    const changed = await thaw(quick(at("changed"), at("run"), "--resume"));
    expect(changed.code).toBe(1);
    expect(changed.err).toMatch(/pictures in .*changed were changed since .*run was begun/);
  });

  test("starts from another run, its trunk frozen and bit-identical", async () => {
    const r = await thaw([
      ...quick(pictures, at("second"), "--freeze", "trunk", "--epochs", "1"),
      "--weights",
      at("run"),
    ]);
    expect(r.code, r.err).toBe(0);
    const [first, second] = await Promise.all(
      [at("run"), at("second")].map((p) => weights.read(`${p}/model.safetensors`)),
    );
    const raw = ({ data }: { data: ArrayBufferView }) =>
      Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    for (const [name, entry] of second) {
      const before = first.get(name);
      expect(before && raw(entry).equals(raw(before)), name).toBe(!name.startsWith("classifier"));
    }
  });
});

describe("bad input", () => {
  test("unreadable pictures are named, counted and left out; --strict stops", async () => {
    const dir = await colours(at("broken"), 8);
    await put(join(dir, "red/empty.png"), "");
    await put(join(dir, "green/text.jpg"), "this is no picture");
    await cp(fixture("images/one.png"), join(dir, "blue/one.png"));
    const r = await thaw(quick(dir, at("broken-run"), "--epochs", "1"));
    expect(r.code, r.err).toBe(0);
    const left = r.lines().filter((l) => l["event"] === "unreadable");
    expect(left.map((l) => l["file"]).sort()).toEqual(
      ["blue/one.png", "green/text.jpg", "red/empty.png"].map((f) => join(dir, f)),
    );
    expect(left.find((l) => String(l["file"]).endsWith("one.png"))?.["reason"]).toMatch(/1×1 pixels/);
    expect(r.err).toContain("3 pictures could not be read and are left out");
    const strict = await thaw(quick(dir, at("strict-run"), "--strict"));
    expect(strict.code).toBe(1);
    expect(strict.err).toMatch(/^thaw: .*(one\.png|text\.jpg|empty\.png)/m);
    const alone = await thaw(["predict", at("run"), join(dir, "red/empty.png")]);
    expect(alone.code).toBe(1);
    expect(alone.err).toMatch(/red\/empty\.png is empty/);
  });

  test("a loss that is no number stops the run and keeps the last good checkpoint", async () => {
    const r = await thaw(quick(pictures, at("nan"), "--optimizer", "sgd", "--lr", "1e30"));
    expect(r.code).toBe(1);
    expect(r.err).toMatch(/thaw: .*became (NaN|-?Infinity).*training stopped.*last good checkpoint/);
    expect(JSON.parse(await readFile(at("nan/run.json"), "utf8")).status).toBe("failed");
    const kept = await weights.read(at("nan/checkpoint/last.safetensors"));
    for (const [name, { data }] of kept)
      if (data instanceof Float32Array) expect(data.every(Number.isFinite), name).toBe(true);
  });

  test("weights that are cut short, hostile, or of another architecture", async () => {
    const cut = at("cut.safetensors");
    await cp(at("run/model.safetensors"), cut);
    await truncate(cut, (await stat(cut)).size - 100);
    const refused = async (file: string, says: RegExp) => {
      const r = await thaw([...quick(pictures, at("never")), "--weights", file]);
      expect(r.code).toBe(1);
      expect(r.err).toMatch(says);
      expect(r.err.split("\n")).toHaveLength(1);
    };
    await refused(cut, /cut\.safetensors/);
    await refused(at("pictures/red/red-000.png"), /red-000\.png/);
    const other = await thaw([
      "finetune",
      pictures,
      "--model",
      "densenet121",
      "--weights",
      at("run/model.safetensors"),
      "--image-size",
      "32",
    ]);
    expect(other.code).toBe(1);
    expect(other.err).toMatch(/model\.safetensors is of densenet_mini, not of densenet121/);
  });

  test("no adapter", async () => {
    const r = await thaw(quick(pictures, at("never")), {
      env: { VK_DRIVER_FILES: "/nonexistent", VK_ICD_FILENAMES: "/nonexistent" },
    });
    expect(r.code).toBe(1);
    expect(r.err).toMatch(/thaw: no usable GPU adapter was found: .*thaw doctor/);
    await expect(stat(at("never"))).rejects.toThrow();
    const d = await thaw(["doctor", "--json"], {
      env: { VK_DRIVER_FILES: "/nonexistent", VK_ICD_FILENAMES: "/nonexistent" },
    });
    expect(d.code).toBe(1);
    expect(d.lines().find((l) => l["check"] === "adapter")).toMatchObject({ ok: false });
  });

  test("doctor finds this adapter and a right self-test", async () => {
    const lines = (await thaw(["doctor", "--json"])).lines();
    expect(lines.filter((l) => l["event"] === "adapter").length).toBeGreaterThan(0);
    expect(lines.find((l) => l["check"] === "self-test")).toMatchObject({ ok: true });
  });
});
