// Where runs go, and which one a resumed run goes on in: found without a device, before a picture is decoded.

import { mkdir, readdir, realpath, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { UsageError } from "../../src/index.ts";
import { makeFolder } from "../../src/train/folders.node.ts";
import { openRun, scheduleOf } from "../../src/train/open_run.node.ts";
import { RunFolder, runFolderFor } from "../../src/train/run_folder.node.ts";
import type { RunInfo } from "../../src/train/run_info.ts";
import { newRunOptions } from "../../src/train/run_options.ts";
import type { Snapshot } from "../../src/train/snapshot.ts";
import { put, scratch } from "../lib/cli.ts";

const MODEL = "densenet_mini";
let home: string;
let folder: Awaited<ReturnType<typeof scratch>>;
beforeAll(() => {
  home = process.cwd();
});
beforeEach(async () => {
  folder = await scratch();
  process.chdir(folder.path);
  await mkdir("pictures");
});
afterEach(() => folder.remove());
afterAll(() => process.chdir(home));

const preprocessing = {
  ...{ resize: 32, crop: 32, interpolation: "bilinear" },
  ...{ mean: [0, 0, 0], std: [1, 1, 1] },
};

/** Leaves a run: its run.json, and a checkpoint after so many steps, if any. */
async function leave(path: string, status: RunInfo["status"], step: number | null, started = "2030-01-01") {
  const run = new RunFolder(path);
  await run.create();
  await run.writeInfo({
    ...{ format: 1, status, classes: ["a", "b"], preprocessing, started },
    model: { name: MODEL, head: "linear", trainable: 1, parameters: 1 },
    options: newRunOptions({ model: MODEL }, false),
    data: { folder: join(await realpath("."), "pictures"), fingerprint: "f" },
    metrics: { epochs: 0 },
  } as unknown as RunInfo);
  const state = { progress: { step } };
  if (step !== null) await run.store.save("last", { tensors: new Map(), state } as unknown as Snapshot);
}

const openIn = (dir: string, out: string | undefined, resume: boolean) =>
  openRun(dir, { out, resume, model: MODEL }, () => {});
const fresh = async (out: string) => (await openIn("pictures", out, false)).folder?.path;
const resumed = async (out?: string) => (await openIn("pictures", out, true)).folder?.path;

describe("a new run", () => {
  test("goes to the first free of runs/DIR-MODEL, -2, -3, chosen when it begins", async () => {
    expect(await openIn("pictures", undefined, false)).toEqual({
      folder: null,
      begun: null,
      checkpoint: false,
    });
    for (const end of ["", "-2", "-3"]) {
      const path = `runs/pictures-densenet_mini${end}`;
      expect(await runFolderFor("pictures", MODEL)).toBe(path);
      await leave(path, "finished", 5);
    }
    expect(await readdir(".")).toEqual(["pictures", "runs"]);
  });

  test.each<[RunInfo["status"], number | null, boolean]>([
    ["finished", 5, false],
    ["interrupted", 5, false],
    ["failed", 5, false],
    ["running", 0, false],
    ["failed", 0, true],
    ["interrupted", 0, true],
    ["failed", null, true],
    ["running", null, true],
  ])("may replace one that is %s at step %s: %s", async (status, step, may) => {
    await leave("mine", status, step);
    if (may) expect(await fresh("mine")).toBe("mine");
    else await expect(fresh("mine")).rejects.toThrow(/mine holds a run already/);
  });

  test("never lies among the pictures, by whatever path", async () => {
    await symlink("pictures", "link");
    for (const out of ["pictures", "pictures/", "pictures/run", "./pictures/../pictures/a/b", "link/run"])
      await expect(fresh(out), out).rejects.toThrow(UsageError);
    await expect(openIn("link", "pictures/run", false)).rejects.toThrow(/pictures\/run lies within link/);
    await expect(openIn(".", undefined, false)).rejects.toThrow(/runs\/thaw-cli.* lies within \./);
    await expect(fresh("")).rejects.toThrow(/out is an empty text/);
    expect(await fresh("pictures-run")).toBe("pictures-run");
    expect(await fresh("..")).toBe("..");
  });

  test("is refused at once where nothing can be written", async () => {
    await put("file", "");
    await expect(fresh("file")).rejects.toThrow(/file cannot be a folder: .*file is a file/);
    await expect(fresh("file/run")).rejects.toThrow(/file\/run cannot be a folder: .*file is a file/);
    // Node's own recursive mkdir does not come back from here.
    if (process.platform === "linux") {
      await expect(fresh("/proc/thaw/run")).rejects.toThrow(/nothing can be made in \/proc/);
      await expect(makeFolder("/proc/thaw/run")).rejects.toThrow(/ENOENT/);
    }
    await makeFolder("x/y/z");
    await makeFolder("x/y/z");
    expect(await readdir("x/y")).toEqual(["z"]);
  });

  test("removes what a killed one left half written, and nothing else", async () => {
    await mkdir("mine/checkpoint", { recursive: true });
    const gone = 2 ** 30 - 1; // no process has so high a number
    const half = ["run.json", "model.safetensors", "checkpoint/last.safetensors"].map(
      (f) => `${f}.${gone}-0z.tmp`,
    );
    for (const name of [...half, "notes.tmp", "run.json.tmp"]) await writeFile(join("mine", name), "");
    await new RunFolder("mine").create();
    expect((await readdir("mine", { recursive: true })).sort()).toEqual([
      "checkpoint",
      "notes.tmp",
      "run.json.tmp",
    ]);
  });
});

describe("a resumed run", () => {
  test("is the newest unfinished one of these pictures, or the only one", async () => {
    await expect(resumed()).rejects.toThrow(
      /runs\/pictures-densenet_mini holds no run of pictures to go on with.*--out/,
    );
    await leave("runs/pictures-densenet_mini", "finished", 5, "2030-01-01");
    expect(await resumed()).toBe("runs/pictures-densenet_mini");
    await leave("runs/pictures-densenet_mini-2", "finished", 5, "2030-01-02");
    await expect(resumed()).rejects.toThrow(/all runs of pictures are finished \(.*mini-2, .*mini\)/);
    await leave("runs/pictures-densenet_mini-3", "interrupted", 5, "2030-01-03");
    await leave("runs/pictures-densenet_mini-10", "running", 5, "2030-01-04");
    await leave("runs/pictures-densenet_mini-11", "finished", 5, "2030-01-05");
    await leave("runs/pictures-densenet_mini-old", "running", 5, "2030-01-06");
    expect(await resumed()).toBe("runs/pictures-densenet_mini-10");
    await mkdir("other/pictures", { recursive: true });
    await expect(openIn("other/pictures", undefined, true)).rejects.toThrow(
      /holds no run of other\/pictures/,
    );
  });

  test("must be there; without a checkpoint it begins again", async () => {
    await expect(resumed("nowhere")).rejects.toThrow(/nowhere holds no run to go on with/);
    await expect(resumed("nowhere")).rejects.toThrow(UsageError);
    await leave("begun", "running", null);
    expect(await openIn("pictures", "begun", true)).toMatchObject({ checkpoint: false });
    await leave("begun", "running", 0);
    expect(await openIn("pictures", "begun", true)).toMatchObject({ checkpoint: true });
  });

  test("keeps how long it goes, unless told otherwise", () => {
    const schedule = { epochs: 7, patience: 2, checkpointSeconds: 5, strict: true };
    const begun = { schedule } as RunInfo;
    expect(scheduleOf({}, begun)).toEqual(schedule);
    const given = { epochs: 9, patience: 0, strict: undefined };
    expect(scheduleOf(given, begun)).toEqual({ ...schedule, epochs: 9, patience: 0 });
    const usual = { epochs: 10, patience: 0, checkpointSeconds: 120, strict: false };
    expect(scheduleOf({}, null)).toEqual(usual);
    expect(scheduleOf({}, {} as RunInfo)).toEqual(usual);
  });
});
