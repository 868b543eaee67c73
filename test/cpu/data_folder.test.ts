// Class-per-folder data sets: torchvision's order, divided folders, and every way in which a folder can be wrong.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DataError } from "../../src/core/error.ts";
import { imageFolder, pictureFiles } from "../../src/data/image_folder.ts";
import { byCodePoint } from "../../src/data/scan.node.ts";
import expected from "../fixtures/folder/expected.json" with { type: "json" };

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "thaw-folder-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

function put(...paths: string[]): void {
  for (const path of paths) {
    mkdirSync(join(dir, dirname(path)), { recursive: true });
    writeFileSync(join(dir, path), "");
  }
}

/** The message with the temporary folder written as DIR. */
async function refusal(path = dir, options = {}): Promise<string> {
  const error = await imageFolder(path, options).then(
    () => expect.fail("no error"),
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(DataError);
  return (error as DataError).message.replaceAll(dir, "DIR");
}

describe("imageFolder", () => {
  it("lists as torchvision's ImageFolder", async () => {
    put(...expected.files);
    const folder = await imageFolder(dir);
    expect(folder.classes).toEqual(expected.classes);
    expect(folder.paths.map((path, i) => [path, folder.label(i)])).toEqual(expected.samples);
    expect(folder.length).toBe(expected.samples.length);
    expect(folder.ignored).toEqual(["a/notes.txt"]);
    expect(folder.path(0)).toBe(`${dir}/${folder.paths[0]}`);
  });

  it("passes over hidden files, macOS' folder and pictures beside the class folders, and says so of the latter", async () => {
    put(
      "a/1.png",
      "b/2.png",
      ".git/x.png",
      "a/.thumb.png",
      "__MACOSX/a/1.png",
      "a/.x/1.png",
      "cover.jpg",
      "b/m.csv",
    );
    const folder = await imageFolder(dir);
    expect([folder.paths, folder.classes]).toEqual([
      ["a/1.png", "b/2.png"],
      ["a", "b"],
    ]);
    expect(folder.ignored).toEqual(["cover.jpg", "b/m.csv"]);
  });

  it("takes the endings that sharp decodes, in any case", async () => {
    put(
      ..."jpg jpeg JPG png PNG webp tif tiff gif avif bmp ppm txt".split(" ").map((e, i) => `a/${i}.${e}`),
      "b/1.png",
    );
    const folder = await imageFolder(dir);
    expect(folder.ignored).toEqual(["a/10.bmp", "a/11.ppm", "a/12.txt"]);
    expect(folder.length).toBe(11);
  });

  it("follows links, but not in circles, and keeps broken ones to be reported", async () => {
    put("a/1.png", "b/2.png", "b/in/3.png");
    symlinkSync("..", join(dir, "b/in/loop"));
    symlinkSync("../..", join(dir, "b/in/root"));
    symlinkSync("in", join(dir, "b/twice"));
    put("elsewhere/3.png");
    symlinkSync(join(dir, "elsewhere"), join(dir, "a/linked"));
    symlinkSync(join(dir, "gone.png"), join(dir, "a/broken.png"));
    const folder = await imageFolder(dir);
    expect(folder.paths).toEqual([
      "a/1.png",
      "a/broken.png",
      "a/linked/3.png",
      "b/2.png",
      "b/in/3.png",
      "elsewhere/3.png",
    ]);
    await expect(folder.get(1)).rejects.toThrow(/a\/broken.png cannot be read: there is no such file/);
  });

  it("understands DIR/train/CLASS", async () => {
    put("train/a/1.png", "train/b/2.png", "Valid/a/3.png", "Valid/b/deep/4.png", "test/b/5.png");
    const folder = await imageFolder(dir);
    expect(folder.classes).toEqual(["a", "b"]);
    expect(folder.paths.map((p, i) => [p, folder.parts?.[i], folder.label(i)])).toEqual([
      ["Valid/a/3.png", "val", 0],
      ["Valid/b/deep/4.png", "val", 1],
      ["test/b/5.png", "test", 1],
      ["train/a/1.png", "train", 0],
      ["train/b/2.png", "train", 1],
    ]);
  });

  it("takes train and test for classes when pictures lie in them directly", async () => {
    put("train/1.png", "test/2.png");
    expect(await imageFolder(dir)).toMatchObject({ parts: null, classes: ["test", "train"] });
    put("train/a/1.png", "tram/a/3.png");
    expect(await imageFolder(dir)).toMatchObject({ parts: null, classes: ["test", "train", "tram"] });
  });

  it("labels by given classes, for a finished run", async () => {
    put("dog/1.png");
    const folder = await imageFolder(dir, { classes: ["cat", "dog"] });
    expect([folder.classes, [...folder.labels]]).toEqual([["cat", "dog"], [1]]);
    expect(await refusal(dir, { classes: ["cat", "cow"] })).toBe(
      "DIR has the class folder dog, which is not one of: cat, cow",
    );
  });

  it("opens pictures by the decoder that it is given", async () => {
    put("a/1.png", "b/2.png");
    const picture = { data: new Uint8Array(3), height: 1, width: 1 };
    const folder = await imageFolder(`${dir}/`, {
      decode: (path) => Promise.resolve({ ...picture, name: path }),
    });
    expect(await folder.get(1)).toEqual({ ...picture, name: `${dir}/b/2.png` });
  });
});

describe("imageFolder refuses, in one sentence that names the culprit", () => {
  it.each([
    ["nothing there", [], "DIR/x", "there is no folder DIR/x"],
    ["a file", ["f.png"], "DIR/f.png", "DIR/f.png is a file, where a folder of pictures was expected"],
    [
      "an empty folder",
      [],
      "DIR",
      "DIR holds no pictures: put the pictures of each class into a folder of its own, DIR/CLASS/",
    ],
    [
      "pictures without class folders",
      ["1.png", "2.jpg"],
      "DIR",
      "DIR holds 2 pictures but no class folders: put the pictures of each class into a folder of its own, DIR/CLASS/",
    ],
    ["one class", ["cat/1.png"], "DIR", "DIR has only one class, cat: a classifier needs at least two"],
    [
      "one folder around the classes",
      ["all/cat/1.png", "all/dog/1.png"],
      "DIR",
      "DIR has only one class, all: a classifier needs at least two (did you mean DIR/all?)",
    ],
    [
      "a train folder alone",
      ["train/cat/1.png", "train/dog/1.png"],
      "DIR",
      "DIR has only one class, train: a classifier needs at least two (did you mean DIR/train?)",
    ],
    [
      "an empty class",
      ["cat/1.png", "dog/1.png", "cow/readme.txt", "cow/1.bmp"],
      "DIR",
      "the class folder DIR/cow holds no pictures (but 2 other files, such as cow/1.bmp): remove the folder, or fill it",
    ],
    [
      "folders beside the parts",
      ["train/a/1.png", "train/b/1.png", "test/a/1.png", "more/a/1.png"],
      "DIR",
      "DIR is divided into test, train but also holds the folder more: move that away",
    ],
    [
      "a class that only the test part has",
      ["train/a/1.png", "train/b/1.png", "test/c/1.png"],
      "DIR",
      "DIR/train/c holds no pictures, but c is a class of another part",
    ],
  ])("%s", async (_name, files, path, message) => {
    put(...files);
    expect(await refusal(path.replace("DIR", dir))).toBe(message);
  });
});

describe("pictureFiles", () => {
  it("lists pictures at any depth, labelled or not", async () => {
    put("2.png", "10.png", "x/1.jpg", "x/notes.txt");
    expect(await pictureFiles(dir)).toEqual(["10.png", "2.png", "x/1.jpg"]);
  });
});

describe("byCodePoint", () => {
  it("sorts as Python, beyond the first plane too", () => {
    const words = ["b", "a", "\u{1f600}", "\uff5e", "aa", "B", "é", "\u{1f601}"];
    expect(words.sort(byCodePoint)).toEqual(["B", "a", "aa", "b", "é", "\uff5e", "\u{1f600}", "\u{1f601}"]);
  });
});
