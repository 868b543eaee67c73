// Which peers there are, and getting them ready: TensorFlow.js and jax-js are installed on demand into benchmarks/peers,
// PyTorch is used where the system has it.

import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Options } from "./options.ts";
import { Peer } from "./peer.ts";
import { type Report, round } from "./report.ts";
import { sayLeftOut } from "./step_course.ts";

const FOLDER = new URL("./peers/", import.meta.url);
/** A copy of the lock file that was installed. */
const INSTALLED = new URL("node_modules/.thaw/installed.json", FOLDER);
const PYTHONS = ["/usr/bin/python3", "python3"] as const;
/**
 * How far logits may be off in TF32 and f16, which round to 11 bits. On a CPU bfloat16, which rounds to 9, was off by
 * 5.6e-3, so these should be off by a quarter of that; ten times as much is no longer rounding.
 */
const COARSE = 0.015;

const at = (file: string): string => fileURLToPath(new URL(file, FOLDER));
const run = promisify(execFile);

const textOf = (file: URL): Promise<string | null> => readFile(file, "utf8").catch(() => null);

/** Installs the locked packages unless they are there; why not, where they cannot be. */
async function install(report: Report): Promise<string | null> {
  const lock = await textOf(new URL("package-lock.json", FOLDER));
  if (lock !== null && lock === (await textOf(INSTALLED))) return null;
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
    return `it could not be installed (${reasonOf(error)}); run "npm ci" in benchmarks/peers`;
  }
  await mkdir(new URL("./", INSTALLED), { recursive: true });
  await writeFile(INSTALLED, lock ?? "");
  return null;
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

const MODES = { cpu: ["fp32"], cuda: ["fp32", "tf32", "amp"] } as const;

/** PyTorch on the GPU in its three kinds of arithmetic, or on the CPU. */
export function torchPeers(
  python: string,
  device: "cpu" | "cuda",
  modes: readonly ("fp32" | "tf32" | "amp")[] = MODES[device],
): Peer[] {
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

/** The first of the usual pythons that has PyTorch. */
export async function findTorch(): Promise<{ python: string; device: "cpu" | "cuda" } | null> {
  for (const python of PYTHONS) {
    const device = await torchOf(python);
    if (device !== "none") return { python, device };
  }
  return null;
}

/** What a GPU reaches in PyTorch's hands: rows and columns of the products, of the buffers that are copied. */
const CEILING_SIZE = 4096;

async function sayCeilings(peer: Peer, report: Report): Promise<void> {
  report.phase(`measuring the ceilings that ${peer.name} reaches`);
  const c = (await peer.ask("ceilings", { size: CEILING_SIZE })) as Readonly<Record<string, number>>;
  await peer.close();
  const rounded = Object.fromEntries(Object.entries(c).map(([k, v]) => [k, round(v)]));
  report.line({ kind: "ceilings", engine: peer.name, size: CEILING_SIZE, ...rounded });
  report.text(
    `  copy ${rounded.copyGbps} GB/s; products of ${CEILING_SIZE}×${CEILING_SIZE}: f32 ${rounded.fp32Gflops}, TF32 ${rounded.tf32Gflops}, f16 ${rounded.halfGflops} GFLOP/s`,
  );
}

const COMPILES = "its full step compiles for many minutes; --peers=all takes it";

/** TensorFlow.js and jax-js, where they are or can be installed. */
async function webgpuPeers(all: boolean, report: Report): Promise<Peer[]> {
  const why = await install(report);
  const command = process.execPath;
  const leftOut = all ? undefined : { all: COMPILES };
  const peers = [
    new Peer({ name: "tfjs-webgpu", command, args: [at("tfjs.mjs")] }),
    new Peer({ name: "jax-js", command, args: [at("jax.mjs")], leftOut }),
  ];
  if (why === null) return peers;
  for (const { name } of peers) sayLeftOut(report, name, undefined, why);
  return [];
}

async function torchWhereItIs(report: Report): Promise<Peer[]> {
  const found = await findTorch();
  if (!found) {
    sayLeftOut(report, "torch", undefined, `neither ${PYTHONS.join(" nor ")} has torch and torchvision`);
    return [];
  }
  const peers = torchPeers(found.python, found.device);
  if (found.device === "cuda") await sayCeilings(peers[0], report);
  return peers;
}

/** The peers that were asked for and are there; what is not there is said. */
export async function openPeers(which: Options["peers"], report: Report): Promise<Peer[]> {
  if (which === "none") return [];
  return [...(await webgpuPeers(which === "all", report)), ...(await torchWhereItIs(report))];
}
