// Which peers there are, and getting them ready: TensorFlow.js and jax-js are installed on demand into benchmarks/peers,
// PyTorch is used where the system has it.

import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ThawError } from "../src/core/error.ts";
import type { Options } from "./options.ts";
import { Peer } from "./peer.ts";
import type { Report } from "./report.ts";
import { sayLeftOut } from "./step_course.ts";

const FOLDER = new URL("./peers/", import.meta.url);
/** A copy of the lock file that was installed. */
const INSTALLED = new URL("node_modules/.thaw/installed.json", FOLDER);
const PYTHONS = ["/usr/bin/python3", "python3"] as const;
/** TF32 and half precision keep 11 bits: after 121 layers results agree to a few per cent. */
const COARSE = 0.05;

const at = (file: string): string => fileURLToPath(new URL(file, FOLDER));
const run = promisify(execFile);

const textOf = (file: URL): Promise<string | null> => readFile(file, "utf8").catch(() => null);

/** Installs the locked packages unless they are there. */
async function install(report: Report): Promise<void> {
  const lock = await textOf(new URL("package-lock.json", FOLDER));
  if (lock !== null && lock === (await textOf(INSTALLED))) return;
  report.phase(
    `installing TensorFlow.js and jax-js into ${fileURLToPath(FOLDER)} (npm ci, from the npm registry)`,
  );
  try {
    // None of the packages needs its install script.
    await run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
      cwd: fileURLToPath(FOLDER),
      shell: process.platform === "win32",
    });
  } catch (error) {
    throw new ThawError(
      `TensorFlow.js and jax-js could not be installed (${reasonOf(error)}); run "npm ci" in benchmarks/peers, or leave out --peers`,
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

/** What of PyTorch a python has: nothing, the CPU's, or CUDA's too. */
async function torchOf(python: string): Promise<"none" | "cpu" | "cuda"> {
  try {
    const { stdout } = await run(python, [
      "-c",
      "import torch, torchvision; print(torch.cuda.is_available())",
    ]);
    return stdout.trim() === "True" ? "cuda" : "cpu";
  } catch {
    return "none";
  }
}

/** PyTorch on the GPU in its three kinds of arithmetic, or on the CPU. */
export function torchPeers(python: string, device: "cpu" | "cuda"): Peer[] {
  const modes = device === "cpu" ? (["fp32"] as const) : (["fp32", "tf32", "amp"] as const);
  return modes.map(
    (mode) =>
      new Peer({
        name: `torch-${device}${mode === "fp32" ? "" : `-${mode}`}`,
        command: python,
        args: [at("torch_densenet.py"), "--device", device, "--mode", mode],
        tolerance: mode === "fp32" ? undefined : COARSE,
      }),
  );
}

const COMPILES = "its full step compiles for many minutes; --peers=all takes it";

function jaxPeer(all: boolean): Peer {
  const leftOut = all ? undefined : { all: COMPILES };
  return new Peer({ name: "jax-js", command: process.execPath, args: [at("jax.mjs")], leftOut });
}

/** The peers that were asked for and are there; what is not there is said. */
export async function openPeers(which: Options["peers"], report: Report): Promise<Peer[]> {
  if (which === "none") return [];
  await install(report);
  const tfjs = new Peer({ name: "tfjs-webgpu", command: process.execPath, args: [at("tfjs.mjs")] });
  const peers = [tfjs, jaxPeer(which === "all")];
  for (const python of PYTHONS) {
    const torch = await torchOf(python);
    if (torch !== "none") return [...peers, ...torchPeers(python, torch)];
  }
  sayLeftOut(report, "torch", undefined, `neither ${PYTHONS.join(" nor ")} has torch and torchvision`);
  return peers;
}
