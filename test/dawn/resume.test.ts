// Runs that are broken off and go on: what a resumed run keeps, what it is refused for, and how a run ends when nobody
// reads what it says. Small networks on small pictures, most of them within this process.

import { spawn } from "node:child_process";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { close, init, train, UsageError } from "../../src/index.ts";
import type { RunInfo } from "../../src/train/run_info.ts";
import { colours, MAIN, put, scratch, thaw } from "../lib/cli.ts";
import { testOptions } from "../lib/test_options.ts";

let folder: Awaited<ReturnType<typeof scratch>>;
let pictures: string;
const at = (...parts: string[]) => join(folder.path, ...parts);
const infoOf = async (run: string) => JSON.parse(await readFile(join(run, "run.json"), "utf8")) as RunInfo;
const bytes = (run: string) => readFile(join(run, "model.safetensors"));

const QUICK = { model: "densenet_mini", weights: "none", imageSize: 32, batchSize: 8, epochs: 3, lr: 0.003 };

beforeAll(async () => {
  folder = await scratch();
  pictures = await colours(at("pictures"), 10);
  await init(testOptions());
});
afterAll(async () => {
  await close();
  await folder.remove();
});

/** Trains, stopping after `stop` epochs, and returns the events. */
async function finetune(dir: string, options: train.FinetuneOptions, stop = Number.POSITIVE_INFINITY) {
  const controller = new AbortController();
  const events: train.FinetuneEvent[] = [];
  const onEvent = (e: train.FinetuneEvent) => {
    events.push(e);
    if (e.event === "epoch" && e.epoch === stop) controller.abort();
  };
  const result = await train.finetune(dir, { ...options, signal: controller.signal, onEvent });
  return { result, events };
}

describe("a resumed run", () => {
  test("goes as far as it was to go, as often saved and as strict, with nothing said again", async () => {
    const options = { ...QUICK, patience: 2, checkpointSeconds: 77, strict: true };
    await finetune(pictures, { ...options, out: at("whole") });
    const first = await finetune(pictures, { ...options, out: at("parts") }, 1);
    expect(first.result.end).toBe("aborted");
    const { result } = await finetune(pictures, { out: at("parts"), resume: true });
    expect(result.epochs).toBe(3);
    expect((await bytes(at("parts"))).equals(await bytes(at("whole")))).toBe(true);
    const schedule = { epochs: 3, patience: 2, checkpointSeconds: 77, strict: true };
    expect((await infoOf(at("parts"))).schedule).toEqual(schedule);
    // What is given now holds from now on; the shares named are those that were the default.
    const more = { epochs: 4, patience: 0, val: 0.2, test: 0.1 };
    const further = await finetune(pictures, { ...more, out: at("parts"), resume: true });
    expect(further.events.filter((e) => e.event === "epoch")).toHaveLength(1);
    expect(await infoOf(at("parts"))).toMatchObject({
      schedule: { ...schedule, epochs: 4, patience: 0 },
      options: { val: 0.2, test: 0.1 },
    });
  });

  test("notices that a picture is another one now; a run of the first version does not", async () => {
    const dir = await colours(at("changing"), 6);
    const run = at("changed");
    await finetune(dir, { ...QUICK, epochs: 1, out: run });
    const path = join(dir, "red/red-002.png");
    const before = await readFile(path);
    const again = () => finetune(dir, { out: run, resume: true });
    const refused = /pictures in .*changing were changed since/;
    await writeFile(path, Buffer.from(before).fill(1, 40, 41));
    await expect(again()).rejects.toThrow(refused);
    await writeFile(path, before);
    await again();
    const image = sharp(before).flip();
    await writeFile(path, await image.png().toBuffer());
    await expect(again()).rejects.toThrow(refused);
    const info = await infoOf(run);
    const { contents: _, ...data } = info.data;
    const { schedule: __, ...rest } = info;
    await writeFile(join(run, "run.json"), JSON.stringify({ ...rest, data }));
    expect((await finetune(dir, { out: run, epochs: 1, resume: true })).result.end).toBe("finished");
    await expect(again()).resolves.toBeTruthy();
  });

  test("that has no checkpoint begins again with its own options", async () => {
    await finetune(pictures, { ...QUICK, epochs: 1, out: at("once"), seed: 5 });
    await put(at("begun/run.json"), await readFile(at("once/run.json")));
    const { events } = await finetune(pictures, { out: at("begun"), resume: true });
    expect(events.find((e) => e.event === "note")).toMatchObject({
      text: expect.stringMatching(/no checkpoint/),
    });
    expect((await bytes(at("begun"))).equals(await bytes(at("once")))).toBe(true);
  });
});

describe("options that cannot be", () => {
  test("are refused before anything is written, and do not stand in the way of those that can", async () => {
    const bad = { ...QUICK, epochs: 1, patience: 1, val: 0, out: at("late") };
    await expect(finetune(pictures, bad)).rejects.toThrow(UsageError);
    expect(await readdir(folder.path)).not.toContain("late");
    const r = await finetune(pictures, { ...bad, patience: 0 });
    expect(r.result.end).toBe("finished");
  });

  test("a run that failed before its first step gives its folder to the next", async () => {
    const run = at("failed");
    const bad = { ...QUICK, epochs: 1, lr: 1e30, optimizer: "sgd", out: run } as const;
    await expect(finetune(pictures, bad)).rejects.toThrow(/training stopped/);
    expect(await infoOf(run)).toMatchObject({ status: "failed" });
    expect((await finetune(pictures, { ...QUICK, epochs: 1, out: run })).result.end).toBe("finished");
  });
});

test("pictures that are met late and cannot be read are told, counted and left out", async () => {
  const dir = await colours(at("late-broken"), 8);
  await put(join(dir, "red/short.png"), "no picture");
  // Room for five pictures: the broken one is met while training, validating or testing.
  const { events } = await finetune(dir, { ...QUICK, epochs: 1, out: at("late-run"), cacheBytes: 5 * 3072 });
  const names = events.map((e) => e.event);
  expect(events.find((e) => e.event === "note")).toMatchObject({
    text: expect.stringMatching(/^20 pictures beyond the memory/),
  });
  const [left, ...more] = events.filter((e) => e.event === "unreadable");
  expect(left).toMatchObject({ file: join(dir, "red/short.png") });
  expect(more).toEqual([]);
  expect(names.indexOf("unreadable")).toBeGreaterThan(names.indexOf("start"));
  const { data } = await infoOf(at("late-run"));
  expect(data.train + data.val + data.test).toBe(24);
  expect(data.unreadable.map((u) => u.file)).toEqual(["red/short.png"]);
});

describe("as a process", () => {
  const command = (...more: string[]) => [
    ...["finetune", "pictures", "--model", "densenet_mini", "--weights", "none", "--image-size", "32"],
    ...["--batch-size", "8", "--lr", "0.003", "--epochs", "3", "--json", ...more],
  ];

  test("the same command and --resume goes on, without --out too, and so does the command that Ctrl-C names", async () => {
    let sent = false;
    const watch = (text: string) => {
      if (sent || !text.includes('"event":"epoch"')) return null;
      sent = true;
      return "SIGINT" as const;
    };
    const run = "runs/pictures-densenet_mini";
    const stopped = await thaw(command(), { cwd: folder.path, watch });
    expect(stopped.code).toBe(1);
    const next = `node ${MAIN} finetune pictures --out ${run} --resume`;
    expect(stopped.err).toContain(`go on by: ${next}`);
    const resumed = await thaw(command("--resume"), { cwd: folder.path });
    expect(resumed.code, resumed.err).toBe(0);
    expect(resumed.lines().map((l) => l["event"])).toEqual(["start", "resumed", "epoch", "epoch", "done"]);
    expect(resumed.lines().at(-1)).toMatchObject({ run });
    const named = await thaw([...next.split(" ").slice(2), "--json"], { cwd: folder.path });
    expect(named.lines().map((l) => l["event"])).toEqual(["start", "resumed", "done"]);
  });

  test("a reader that goes away ends it in order, with a checkpoint", async () => {
    const child = spawn(process.execPath, [MAIN, ...command("--epochs", "50", "--out", "unread")], {
      cwd: folder.path,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let err = "";
    child.stderr.on("data", (d) => {
      err += d;
    });
    child.stdout.once("data", () => child.stdout.destroy());
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect(code).toBe(1);
    expect(err).toMatch(/thaw: interrupted: a checkpoint is in unread\/checkpoint/);
    const info = await infoOf(at("unread"));
    expect(info.status).toBe("interrupted");
    expect(info.metrics.epochs).toBeLessThan(10);
  });
});
