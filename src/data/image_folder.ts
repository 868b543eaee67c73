// A data set from a folder with one sub-folder for each class, after torchvision's ImageFolder: DIR/CLASS/**/picture.
// DIR/train/CLASS, DIR/val/CLASS and DIR/test/CLASS are understood too. Which pictures there are, and their labels;
// decoding is decode.ts, dividing them partition.ts.
import { DataError } from "../core/error.ts";
import { decode } from "./decode.ts";
import type { Dataset, Picture } from "./picture.ts";

/** The parts that a data set is divided into. */
export type PartName = "train" | "val" | "test";

/** A class-per-folder data set; picture `i` is the file `root`/`paths[i]`. */
export interface ImageFolder extends Dataset {
  readonly root: string;
  /** Relative to `root`, `/` between the parts, in ImageFolder's order. */
  readonly paths: readonly string[];
  readonly labels: Int32Array;
  /** Where the folder itself is divided (DIR/train/CLASS …), the part of each picture; else null. */
  readonly parts: readonly PartName[] | null;
  /** Files passed over, relative to `root`: in class folders by their ending, pictures that lie in no class folder. */
  readonly ignored: readonly string[];
  path(i: number): string;
}

export interface ImageFolderOptions {
  /**
   * Label by these classes instead of the folder's own, e.g. those of a finished run: class folders may then be
   * missing or empty, or a single one, but none may be unknown.
   */
  readonly classes?: readonly string[];
  /** Decodes one file; `decode` by default. */
  readonly decode?: (path: string) => Promise<Picture>;
}

/**
 * Reads the structure of `dir` (no picture is opened). Classes are the sub-folders, sorted by code point; pictures
 * are the files below them ending in jpg, jpeg, png, webp, tif, tiff, gif or avif in any case, at any depth. Hidden
 * files and `__MACOSX` are passed over; links are followed.
 *
 * Throws DataError when `dir` is missing or a file, holds no class folders, only one, or one without pictures, and
 * when it is divided into parts but holds other folders too.
 */
export async function imageFolder(dir: string, options: ImageFolderOptions = {}): Promise<ImageFolder> {
  const { scan, byCodePoint } = await import("./scan.node.ts");
  const tree = await scan(dir);
  const found = tree.pictures.map(place);
  const parts = partsOf(dir, tree.folders, found);
  const depth = parts === null ? 0 : 1;
  const entries = found.filter((f) => f.folders.length > depth);
  if (tree.folders.length === 0 || entries.length === 0) throw new DataError(noClasses(dir, tree.pictures));
  const present = parts === null ? tree.folders : entries.map((e) => e.folders[1]);
  const classes = options.classes ?? [...new Set(present)].sort(byCodePoint);
  const names = entries.map((e) => e.folders[depth]);
  if (options.classes) checkKnown(dir, classes, names);
  else checkClasses(dir, classes, entries, parts, tree.others);
  const number = new Map(classes.map((name, i) => [name, i]));
  const labels = Int32Array.from(names, (name) => number.get(name) ?? -1);
  const paths = entries.map((e) => e.path);
  const path = (i: number) => `${dir.replace(/\/+$/, "")}/${paths[i]}`;
  const open = options.decode ?? decode;
  return {
    root: dir,
    length: paths.length,
    classes,
    paths,
    labels,
    parts: parts && entries.map((e) => parts.get(e.folders[0]) as PartName),
    ignored: [
      ...found.filter((f) => f.folders.length <= depth).map((f) => f.path),
      ...tree.others.filter((other) => other.includes("/")),
    ],
    label: (i) => labels[i],
    get: (i) => open(path(i)),
    path,
  };
}

/** All pictures below a folder, labelled or not, as paths relative to it. Throws DataError as imageFolder. */
export async function pictureFiles(dir: string): Promise<string[]> {
  const { scan } = await import("./scan.node.ts");
  return (await scan(dir)).pictures;
}

interface Entry {
  readonly path: string;
  /** The folders on the way to the file. */
  readonly folders: string[];
}

function place(path: string): Entry {
  return { path, folders: path.split("/").slice(0, -1) };
}

const PARTS: Record<string, PartName> = {
  train: "train",
  training: "train",
  val: "val",
  valid: "val",
  validation: "val",
  test: "test",
  testing: "test",
};

/**
 * Folder name → part, when train and another part are among the sub-folders and pictures lie in class folders inside
 * them; otherwise null (`train` and `test` are then ordinary classes). Throws DataError when there are other
 * sub-folders too, whose pictures would belong nowhere.
 */
function partsOf(
  dir: string,
  folders: readonly string[],
  found: readonly Entry[],
): Map<string, PartName> | null {
  const named = folders.filter((f) => Object.hasOwn(PARTS, f.toLowerCase()));
  const parts = new Map(named.map((f) => [f, PARTS[f.toLowerCase()]]));
  const kinds = new Set(parts.values());
  const inside = found.filter((f) => parts.has(f.folders[0]));
  const nested = inside.length > 0 && inside.every((f) => f.folders.length > 1);
  if (!kinds.has("train") || kinds.size < 2 || !nested) return null;
  const stranger = folders.find((f) => !parts.has(f));
  if (stranger === undefined) return parts;
  throw new DataError(
    `${dir} is divided into ${named.join(", ")} but also holds the folder ${stranger}: move that away`,
  );
}

const count = (n: number, what: string) => `${n} ${what}${n === 1 ? "" : "s"}`;

function noClasses(dir: string, pictures: readonly string[]): string {
  const direct = pictures.filter((p) => !p.includes("/")).length;
  const held = direct === 0 ? "holds no pictures" : `holds ${count(direct, "picture")} but no class folders`;
  return `${dir} ${held}: put the pictures of each class into a folder of its own, ${dir}/CLASS/`;
}

/** With classes given, a folder of another name would go unlabelled. */
function checkKnown(dir: string, classes: readonly string[], names: readonly string[]): void {
  const unknown = names.find((name) => !classes.includes(name));
  if (unknown === undefined) return;
  throw new DataError(`${dir} has the class folder ${unknown}, which is not one of: ${classes.join(", ")}`);
}

function checkClasses(
  dir: string,
  classes: readonly string[],
  entries: readonly Entry[],
  parts: Map<string, PartName> | null,
  others: readonly string[],
): void {
  if (classes.length === 1) throw new DataError(onlyOne(dir, classes[0], entries));
  const trained = new Set(
    entries
      .filter((e) => parts === null || parts.get(e.folders[0]) === "train")
      .map((e) => e.folders[parts === null ? 0 : 1]),
  );
  const empty = classes.find((name) => !trained.has(name));
  if (empty === undefined) return;
  if (parts !== null) {
    const train = [...parts].find(([, part]) => part === "train")?.[0];
    throw new DataError(
      `${dir}/${train}/${empty} holds no pictures, but ${empty} is a class of another part`,
    );
  }
  const there = others.filter((o) => o.startsWith(`${empty}/`));
  const instead =
    there.length === 0 ? "" : ` (but ${count(there.length, "other file")}, such as ${there[0]})`;
  throw new DataError(
    `the class folder ${dir}/${empty} holds no pictures${instead}: remove the folder, or fill it`,
  );
}

/** One class only; often DIR/train/CLASS or DIR/name-of-the-archive/CLASS was meant. */
function onlyOne(dir: string, name: string, entries: readonly Entry[]): string {
  const inner = new Set(entries.map((e) => e.folders[1]).filter((f) => f !== undefined));
  const hint = inner.size > 1 ? ` (did you mean ${dir}/${name}?)` : "";
  return `${dir} has only one class, ${name}: a classifier needs at least two${hint}`;
}
