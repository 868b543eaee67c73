// The command line as a user runs it: a process of its own, with what it wrote and how it ended.

import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { fillUniform } from "./pictures_noise.ts";

export const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  /** Standard output as JSON lines. */
  readonly lines: () => Record<string, unknown>[];
}

export interface RunOptions {
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  /** Called with everything written so far, on either stream; returning a signal sends it. */
  readonly watch?: (text: string) => NodeJS.Signals | null;
}

/** Runs `thaw …args`. */
export function thaw(args: readonly string[], { env, cwd, watch }: RunOptions = {}): Promise<Ended> {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd, env: { ...process.env, ...env } });
  let out = "";
  let err = "";
  const seen = () => {
    const signal = watch?.(out + err);
    if (signal) child.kill(signal);
  };
  child.stdout.on("data", (d) => {
    out += d;
    seen();
  });
  child.stderr.on("data", (d) => {
    err += d;
    seen();
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      const lines = () =>
        out
          .trim()
          .split("\n")
          .map((l) => JSON.parse(l) as Record<string, unknown>);
      resolve({ code, out, err: withoutDriver(err), lines });
    });
  });
}

/** What Dawn and Mesa print of their own is not the command's. */
const withoutDriver = (text: string) =>
  text
    .split("\n")
    .filter((l) => l !== "" && !/^Warning: max|XDG_RUNTIME_DIR|MESA|ExperimentalWarning/.test(l))
    .join("\n");

/** A temporary folder, and how to remove it. */
export async function scratch(): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), "thaw-cli-"));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

export async function put(path: string, content: string | Uint8Array): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
  return path;
}

/** Noise pictures of three colours that are easy to tell apart: `perClass` in each of red, green and blue. */
export async function colours(dir: string, perClass: number, side = 32): Promise<string> {
  for (const [c, name] of ["blue", "green", "red"].entries()) {
    for (let i = 0; i < perClass; i++) {
      const data = fillUniform(side * side * 3, c * 1000 + i);
      for (let p = 2 - c; p < data.length; p += 3) data[p] = 128 + data[p] / 2;
      const png = await sharp(data, { raw: { width: side, height: side, channels: 3 } })
        .png()
        .toBuffer();
      await put(join(dir, name, `${name}-${String(i).padStart(3, "0")}.png`), png);
    }
  }
  return dir;
}
