// A peer engine: a child process that answers JSON lines. Asked one thing at a time, it waits for its input between
// requests and leaves the machine to the others.

import { type ChildProcess, spawn } from "node:child_process";
import { createInterface, type Interface } from "node:readline";
import { ADAM, type Engine, type Job, type Loaded, PeerFailed, type StepResult } from "./engine.ts";

export interface PeerCommand {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly leftOut?: Engine["leftOut"];
  readonly tolerance?: number;
}

/** How long one answer may take: jax-js compiles a full step for many minutes. */
const PATIENCE_MS = 20 * 60_000;

type Answer = { readonly error?: string } & Readonly<Record<string, unknown>>;

export class Peer implements Engine {
  readonly name: string;
  readonly leftOut: Engine["leftOut"];
  readonly tolerance: number | undefined;
  readonly #patienceMs: number;
  readonly #command: PeerCommand;
  #child: ChildProcess | null = null;
  #lines: Interface | null = null;
  #waiting: { resolve: (a: Answer) => void; reject: (e: Error) => void } | null = null;
  #complaints = "";
  /** Why the child can answer no more. */
  #failure: PeerFailed | null = null;

  constructor(command: PeerCommand, patienceMs: number = PATIENCE_MS) {
    this.name = command.name;
    this.leftOut = command.leftOut;
    this.tolerance = command.tolerance;
    this.#command = command;
    this.#patienceMs = patienceMs;
  }

  /** A fresh process for each job, so that a first step is one. */
  async load(job: Job): Promise<Loaded> {
    await this.close();
    this.#start();
    return (await this.#ask({ do: "load", ...job, adam: ADAM })) as unknown as Loaded;
  }

  /** Whatever else the engine answers to, whether or not a network is loaded. */
  ask(verb: string, request: Readonly<Record<string, unknown>> = {}): Promise<Answer> {
    if (!this.#child) this.#start();
    return this.#ask({ do: verb, ...request });
  }

  async logits(): Promise<Float32Array> {
    return Float32Array.from((await this.#ask({ do: "logits" })).logits as number[]);
  }

  async step(count: boolean): Promise<StepResult> {
    return (await this.#ask({ do: "step", count })) as unknown as StepResult;
  }

  async close(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.stdin?.end(`${JSON.stringify({ do: "end" })}\n`);
    const patience = setTimeout(() => child.kill(), 10_000);
    await ended;
    clearTimeout(patience);
    this.#lines?.close();
  }

  #start(): void {
    const { command, args, env } = this.#command;
    const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env } });
    this.#child = child;
    this.#complaints = "";
    this.#failure = null;
    child.stderr?.on("data", (d: Buffer) => {
      this.#complaints = (this.#complaints + d.toString()).slice(-8000);
    });
    // A child that dies while it is written to is reported by its exit.
    child.stdin?.on("error", () => {});
    this.#lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
    this.#lines.on("line", (line) => this.#answer(line));
    const failed = (why: string) => {
      const tail = tellingLine(this.#complaints);
      this.#fail(new PeerFailed(`${this.name} ${why}${tail ? `: ${tail}` : ""}`));
    };
    child.once("error", (e) => failed(`could not be started (${e.message})`));
    child.once("exit", (code, signal) => failed(`ended early (${signal ?? `exit code ${code}`})`));
  }

  #fail(error: PeerFailed): void {
    this.#failure ??= error;
    this.#waiting?.reject(error);
    this.#waiting = null;
  }

  #answer(line: string): void {
    const answer = parsed(line);
    if (!answer) {
      this.#complaints += `${line}\n`;
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = null;
    if (answer.error === undefined) waiting?.resolve(answer);
    else waiting?.reject(new PeerFailed(`${this.name}: ${answer.error.split("\n")[0]}`));
  }

  #ask(request: Readonly<Record<string, unknown>>): Promise<Answer> {
    if (this.#failure) return Promise.reject(this.#failure);
    const answered = new Promise<Answer>((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#child?.stdin?.write(`${JSON.stringify(request)}\n`);
    });
    const patience = setTimeout(() => this.#giveUp(`${request.do}`), this.#patienceMs);
    return answered.finally(() => clearTimeout(patience));
  }

  /** A compiler deep in its work hears no polite signal. */
  #giveUp(verb: string): void {
    const seconds = this.#patienceMs / 1e3;
    this.#fail(
      new PeerFailed(`${this.name} gave no answer to "${verb}" within ${seconds} s`, this.#patienceMs),
    );
    this.#child?.kill("SIGKILL");
  }
}

/** What a process said of its end: the line that calls itself an error, else its last one. */
function tellingLine(said: string): string {
  const lines = said.trim().split("\n");
  return lines.findLast((l) => /\b(fatal|error)\b/i.test(l)) ?? lines.at(-1) ?? "";
}

/** An answer; null for a line that some library has printed. */
function parsed(line: string): Answer | null {
  try {
    return JSON.parse(line) as Answer;
  } catch {
    return null;
  }
}
