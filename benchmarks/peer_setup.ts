// Which peers there are, and getting them ready: TensorFlow.js is installed on demand into benchmarks/peers, PyTorch is
// used where the system has it.

import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ThawError } from "../src/core/error.ts";
import type { Options } from "./options.ts";
import { Peer } from "./peer.ts";
import type { Report } from "./report.ts";

const FOLDER = new URL("./peers/", import.meta.url);
/** A copy of the lock file that was installed. */
const INSTALLED = new URL("node_modules/.thaw/installed.json", FOLDER);
const PYTHON = "/usr/bin/python3";

const at = (file: string): string => fileURLToPath(new URL(file, FOLDER));
const run = promisify(execFile);

const textOf = (file: URL): Promise<string | null> => readFile(file, "utf8").catch(() => null);

/** Installs the locked packages unless they are there. */
async function install(report: Report): Promise<void> {
  const lock = await textOf(new URL("package-lock.json", FOLDER));
  if (lock !== null && lock === (await textOf(INSTALLED))) return;
  report.phase(`installing TensorFlow.js into ${fileURLToPath(FOLDER)} (npm ci, from the npm registry)`);
  try {
    // None of the packages needs its install script.
    await run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
      cwd: fileURLToPath(FOLDER),
      shell: process.platform === "win32",
    });
  } catch (error) {
    throw new ThawError(
      `TensorFlow.js could not be installed (${reasonOf(error)}); run "npm ci" in benchmarks/peers, or leave out --peers`,
    );
  }
  await mkdir(new URL("./", INSTALLED), { recursive: true });
  await writeFile(INSTALLED, lock ?? "");
}

/** What npm said went wrong, in its own words: the first complaint that is a sentence, not a code. */
function reasonOf(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message: string };
  const said = (stderr ?? "").split("\n").flatMap((l) => /^npm error (.*)/i.exec(l)?.[1] ?? []);
  return said.find((l) => !/^(code|syscall|errno|path|dest) /.test(l)) ?? message.split("\n")[0];
}

async function hasTorch(): Promise<boolean> {
  try {
    await run(PYTHON, ["-c", "import torch, torchvision"]);
    return true;
  } catch {
    return false;
  }
}

/** The peers that were asked for and are there; what is not there is said. */
export async function openPeers(which: Options["peers"], report: Report): Promise<Peer[]> {
  if (which === "none") return [];
  await install(report);
  const peers = [new Peer({ name: "tfjs-webgpu", command: process.execPath, args: [at("tfjs.mjs")] })];
  if (which !== "all") return peers;
  if (await hasTorch())
    peers.push(new Peer({ name: "torch-cpu", command: PYTHON, args: [at("torch_densenet.py")] }));
  else leaveOut(report, "torch-cpu", `${PYTHON} has no torch and torchvision`);
  return peers;
}

function leaveOut(report: Report, engine: string, why: string): void {
  report.line({ kind: "left-out", engine, why });
  report.phase(`${engine} is left out: ${why}`);
}
