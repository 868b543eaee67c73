// The command line before any GPU is needed: help, usage errors (exit 2), folders and files that cannot be used (exit
// 1). Each failure is one plain sentence that names its culprit.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { colours, put, scratch, thaw } from "../lib/cli.ts";

let folder: Awaited<ReturnType<typeof scratch>>;
let pictures: string;
beforeAll(async () => {
  folder = await scratch();
  pictures = await colours(join(folder.path, "pictures"), 3);
});
afterAll(() => folder.remove());

async function refused(args: readonly string[], code: number, says: RegExp): Promise<void> {
  const r = await thaw(args, { cwd: folder.path });
  expect(r.err).toMatch(says);
  expect(r.err.split("\n"), r.err).toHaveLength(1);
  expect(r.err).toMatch(/^thaw: /);
  expect(r.out).toBe("");
  expect(r.code).toBe(code);
}

describe("help", () => {
  test("of the command and of each of its own", async () => {
    const all = await thaw(["--help"]);
    expect(all.code).toBe(0);
    const names = [...all.out.matchAll(/^ {2}([a-z]+) /gm)].map((m) => m[1]);
    expect(names).toEqual([
      "finetune",
      "eval",
      "predict",
      "convert",
      "summary",
      "models",
      "profile",
      "weights",
      "tune",
      "doctor",
    ]);
    for (const name of names) {
      const one = await thaw([name, "--help"]);
      expect(one.code).toBe(0);
      expect(one.out).toContain(`thaw ${name} `);
      expect(one.out).toContain("--json");
    }
  });

  test("the version is package.json's", async () => {
    const text = await readFile(new URL("../../package.json", import.meta.url), "utf8");
    expect((await thaw(["--version"])).out.trim()).toBe((JSON.parse(text) as { version: string }).version);
  });
});

describe("usage errors exit with 2", () => {
  const finetune = (...more: string[]) => ["finetune", pictures, ...more];
  const cases: [string, () => string[], RegExp][] = [
    ["unknown command", () => ["finetun"], /no command finetun; did you mean thaw finetune\?/],
    ["unknown option", () => finetune("--epoch", "2"), /no option --epoch; did you mean --epochs\?/],
    ["no folder", () => ["finetune"], /needs DIR/],
    ["two folders", () => finetune("other"), /takes DIR: other is one too many/],
    ["an argument too many", () => ["models", "x"], /takes no arguments: x is one too many/],
    [
      "two words that stand alone",
      () => finetune("--freeze", "none", "trunk"),
      /--freeze none stands alone, but trunk follows it/,
    ],
    ["batch size 0", () => finetune("--batch-size", "0"), /batch-size .*at least 1, not 0/],
    ["half a batch", () => finetune("--batch-size", "2.5"), /--batch-size must be a whole number, not 2.5/],
    ["lr banana", () => finetune("--lr", "banana"), /--lr must be a number, not banana/],
    ["lr 0", () => finetune("--lr", "0"), /lr must be a number above 0, not 0/],
    ["negative lr", () => finetune("--lr", "-1"), /lr must be a number above 0, not -1/],
    ["an empty number", () => finetune("--lr", ""), /--lr must be a number/],
    ["no value", () => finetune("--lr"), /--lr needs a value/],
    ["nothing to tune", () => ["tune"], /thaw tune needs MODEL; see thaw tune --help/],
    [
      "tune of no model",
      () => ["tune", "densenet12"],
      /no model called densenet12; did you mean densenet121\?/,
    ],
    [
      "tune of an empty batch",
      () => ["tune", "densenet121", "--batch", "0"],
      /batch must be .*at least 1, got 0/,
    ],
    [
      "tune of unknown training",
      () => ["tune", "densenet121", "--train", "some"],
      /train must be "all", "last", "head" or "none", got "some"/,
    ],
    ["tune that forgets a batch", () => ["tune", "--clear", "--batch", "4"], /--batch needs MODEL/],
    ["tune that lists and measures", () => ["tune", "densenet121", "--list"], /--list stands alone/],
    ["no value before an option", () => finetune("--lr", "--json"), /--lr needs a value/],
    [
      "unknown model",
      () => finetune("--model", "densenet112"),
      /no model called densenet112; did you mean densenet121\?/,
    ],
    ["epochs 0", () => finetune("--epochs", "0"), /epochs must be a whole number of at least 1, not 0/],
    ["unknown head", () => finetune("--head", "mlp:"), /head mlp:: a part is empty/],
    ["frozen-bn", () => finetune("--frozen-bn", "never"), /--frozen-bn must be running or batch, not never/],
    [
      "optimizer",
      () => finetune("--optimizer", "adm"),
      /optimizer must be adam, adamw or sgd, not adm; did you mean adam\?/,
    ],
    ["momentum of adam", () => finetune("--momentum", "0.5"), /momentum is an option of sgd/],
    ["seed", () => finetune("--seed", "-3"), /seed must be .*at least 0, not -3/],
    ["shares", () => finetune("--val", "0.6", "--test", "0.5"), /leave no pictures to train on/],
    ["limit below classes", () => finetune("--limit", "2"), /limit 2 is less than one for each of 3 classes/],
    ["group", () => finetune("--group", "("), /group/],
    [
      "resume of nothing",
      () => finetune("--resume"),
      /runs\/pictures-densenet121 holds no run of .*pictures to go on with/,
    ],
    [
      "resume of a folder without a run",
      () => finetune("--resume", "--out", "nowhere"),
      /nowhere holds no run to go on with: leave --resume out/,
    ],
    ["out among the pictures", () => finetune("--out", join(pictures, "run")), /lies within .*pictures/],
    ["out that is the pictures", () => finetune("--out", pictures), /lies within .*pictures/],
    ["no out", () => finetune("--out", ""), /out is an empty text/],
    [
      "patience with nothing to wait for",
      () => finetune("--weights", "none", "--val", "0", "--patience", "2"),
      /patience needs validation/,
    ],
    [
      "a batch of none",
      () => ["eval", "run", pictures, "--batch-size", "0"],
      /--batch-size .*at least 1, not 0/,
    ],
    [
      "freeze with blocks",
      () => finetune("--freeze", "none", "--unfrozen-blocks", "1"),
      /unfrozen-blocks opens blocks/,
    ],
    ["summary of no model", () => ["summary", "densnet121"], /did you mean densenet121\?/],
    [
      "summary, pattern",
      () => ["summary", "densenet121", "--freeze", "features.denseblok1"],
      /fits no parameter.*did you mean features.denseblock1\?/,
    ],
    [
      "summary, too many blocks",
      () => ["summary", "densenet121", "--unfrozen-blocks", "40"],
      /has 12 blocks/,
    ],
    [
      "summary, too small",
      () => ["summary", "densenet121", "--image-size", "20"],
      /image-size 20 is too small/,
    ],
    [
      "profile, train",
      () => ["profile", "densenet121", "--train", "most"],
      /--train must be all, last, head/,
    ],
    [
      "profile, two says",
      () => ["profile", "densenet121", "--train", "head", "--unfrozen-blocks", "1"],
      /--train head says what trains, and so does --freeze: give one/,
    ],
    [
      "profile, no round",
      () => ["profile", "densenet121", "--rounds", "0"],
      /--rounds must be .*least 1, not 0/,
    ],
    [
      "profile, no batch",
      () => ["profile", "densenet121", "--batch", "0"],
      /--batch must be .*least 1, not 0/,
    ],
    ["profile of no model", () => ["profile", "densnet121"], /did you mean densenet121\?/],
    [
      "profile, a trace of nothing",
      () => ["profile", "densenet121", "--plan-only", "--trace", "t.json"],
      /--trace needs a step that runs, and --plan-only runs none/,
    ],
    ["convert to .npz", () => ["convert", "a.pth", "b.npz"], /must end in .safetensors, .pth, .pt, .onnx or/],
    ["top 0", () => ["predict", "run", "x.png", "--top", "0"], /--top must be .*at least 1, not 0/],
    ["weights", () => ["weights", "pull", "densenet12"], /did you mean densenet121\?/],
  ];
  test.each(cases)("%s", async (_, args, says) => refused(args(), 2, says));
});

describe("folders and files that cannot be used exit with 1", () => {
  test("a missing folder", () => refused(["finetune", "nowhere"], 1, /nowhere/));
  test("a file", async () => {
    const file = await put(join(folder.path, "a.txt"), "x");
    await refused(["finetune", file], 1, /a\.txt/);
  });
  test("a folder with one class", async () => {
    await colours(join(folder.path, "three"), 1);
    const one = join(folder.path, "one");
    await put(join(one, "only", "a.png"), await readFile(join(folder.path, "three/red/red-000.png")));
    await refused(["finetune", one], 1, /one has only one class, only/);
  });
  test("an empty folder of a class", async () => {
    await put(join(folder.path, "gap/full/a.png"), "");
    await put(join(folder.path, "gap/empty/notes.txt"), "");
    await refused(["finetune", join(folder.path, "gap")], 1, /gap\/empty holds no pictures/);
  });
  test("a trace in a missing folder, before anything is measured", () =>
    refused(["profile", "densenet121", "--trace", "gone/t.json"], 1, /the trace cannot be written: .*gone/));
  test("a missing weight file", () =>
    refused(["finetune", pictures, "--weights", "mine.pth"], 1, /mine\.pth: there is no such file/));
  test("weights that are nearly a word", () =>
    refused(
      ["finetune", pictures, "--weights", "imagnet"],
      1,
      /imagnet: there is no such file; did you mean imagenet\?/,
    ));
  test("ImageNet weights that are not here say where to put them", async () => {
    const r = await thaw(["finetune", pictures, "--weights", "imagenet"], {
      env: { THAW_CACHE: join(folder.path, "cache") },
    });
    expect(r.code).toBe(1);
    expect(r.err).toContain("https://download.pytorch.org/models/densenet121-a639ec97.pth");
    expect(r.err).toContain(join(folder.path, "cache/weights/densenet121-a639ec97.pth"));
  });
  test("a folder that is no run", () =>
    refused(["predict", pictures, "x.png"], 1, /there is no such file or folder|not a run folder/));
  test("eval of a folder that is no run", () =>
    refused(["eval", pictures, pictures], 1, /pictures is not a run folder: it has no run\.json/));
  test("a table that cannot be written is refused before anything is computed", () =>
    refused(
      ["predict", "run", join(pictures, "red/red-000.png"), "--csv", "no/where.csv"],
      1,
      /no\/where\.csv cannot be written/,
    ));
  test("a run whose run.json is damaged", async () => {
    const run = join(folder.path, "damaged");
    await put(join(run, "run.json"), '{"format": 99}');
    const picture = join(pictures, "red/red-000.png");
    await refused(["predict", run, picture], 1, /damaged\/run\.json has format 99/);
    await put(join(run, "run.json"), "{}");
    await refused(["eval", run, pictures], 1, /damaged\/run\.json does not describe a run/);
  });
  test("no stack without --debug, one with it", async () => {
    const r = await thaw(["finetune", "nowhere", "--debug"]);
    expect(r.err).toMatch(/^thaw: .*\n.*\n\s+at /s);
  });
});

describe("without a device", () => {
  test("summary: rows, totals, and what a policy leaves to train", async () => {
    const r = await thaw(["summary", "densenet121", "--freeze", "trunk", "--unfrozen-blocks", "2", "--json"]);
    expect(r.code).toBe(0);
    const lines = r.lines();
    const total = lines.at(-1) as Record<string, number>;
    // denseblock4 has 2,158,080 parameters, norm5 2,048, the classifier 1,025,000 (counted from torchvision's model).
    expect(total).toMatchObject({
      event: "total",
      parameters: 7_978_856,
      trainable: 2_158_080 + 2_048 + 1_025_000,
    });
    expect(lines.find((l) => l["layer"] === "features.denseblock1.denselayer2.conv1")).toMatchObject({
      outputShape: [1, 128, 56, 56],
      parameters: 12_288,
      trainable: 0,
    });
    const plain = await thaw(["summary", "densenet121"]);
    expect(plain.out).toContain("7,978,856 parameters, 7,978,856 trainable, 0 frozen");
  });

  test("a list option leaves the folder to the positionals", async () => {
    const r = await thaw([
      "summary",
      "--freeze",
      "features.conv0",
      "features.norm0",
      "densenet121",
      "--json",
    ]);
    expect(r.lines().at(-1)).toMatchObject({ trainable: 7_978_856 - 9_408 - 128 });
  });

  test("models", async () => {
    const models = (await thaw(["models", "--json"])).lines();
    expect(models.find((m) => m["name"] === "densenet161")).toMatchObject({
      parameters: 28_681_000,
      imageSize: 224,
    });
  });

  test("convert writes what it read, under the model's names if asked", async () => {
    const { weights } = await import("../../src/index.ts");
    const to = join(folder.path, "out.safetensors");
    const entry = { shape: [2, 2], dtype: "f32" as const, data: Float32Array.of(1, -2, 3.5, 4) };
    const from = join(folder.path, "in.safetensors");
    await weights.write(from, { "state.a": entry });
    const r = await thaw(["convert", from, to, "--json"]);
    expect(r.lines()).toMatchObject([{ event: "done", format: "safetensors", tensors: 1, elements: 4 }]);
    expect((await weights.read(to)).get("state.a")).toEqual(entry);
    expect((await thaw(["convert", from, to])).err).toMatch(/exists; --force replaces it/);
    expect((await thaw(["convert", from, to, "--force"])).code).toBe(0);
    expect(
      (await thaw(["convert", from, join(folder.path, "n.safetensors"), "--model", "densenet121"])).err,
    ).toMatch(/in\.safetensors does not fit the model: missing features\.conv0\.weight/);
  });
});
