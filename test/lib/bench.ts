// The benchmark's command, run as people run it.
import { execFile } from "node:child_process";

const COMMAND = new URL("../../bench/densenet.ts", import.meta.url).pathname;

export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs it with these arguments; never rejects. */
export function bench(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [COMMAND, ...args], { maxBuffer: 2 ** 26 }, (error, out, err) =>
      resolve({ code: error ? (error.code as number) : 0, out, err }),
    );
  });
}
