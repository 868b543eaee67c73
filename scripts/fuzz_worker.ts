// The worker of npm run fuzz: reads one file of the corpus whole, cut short, and changed at random.

import { parentPort, workerData } from "node:worker_threads";
import { DataError, messageOf } from "../src/core/error.ts";
import { hash53 } from "../src/core/hash.ts";
import { Generator } from "../src/core/random.ts";
import { readCheckpoint } from "../src/weights/index.ts";
import { type CorpusFile, MEMORY, PARTS } from "./fuzz_corpus.ts";

export interface FuzzJob extends CorpusFile {
  readonly seed: number;
  /** The trials [from, to): mutations; below 0 the file cut at 64 + trial 64ths; from -64 on also whole. */
  readonly from: number;
  readonly to: number;
}

export interface Finding {
  /** As in FuzzJob. */
  readonly trial: number;
  readonly what: string;
}

export interface Tally {
  read: number;
  refused: number;
  readonly findings: Finding[];
}

const job = workerData as FuzzJob & { readonly shared: Int32Array };
const before = process.memoryUsage.rss();

function tell(trial: number, what: string): void {
  parentPort?.postMessage({ trial, what } satisfies Finding);
}

async function trial(index: number, bytes: Uint8Array): Promise<void> {
  try {
    await readCheckpoint(bytes, { skipUnsupported: true, name: job.name });
    Atomics.add(job.shared, 1, 1);
  } catch (error) {
    if (error instanceof DataError && !error.message.includes("\n")) Atomics.add(job.shared, 2, 1);
    else tell(index, error instanceof Error ? (error.stack ?? error.message) : messageOf(error));
  }
  const grown = process.memoryUsage.rss() - before;
  if (grown > MEMORY) {
    tell(index, `memory has grown by ${Math.round(grown / 2 ** 20)} MiB`);
    process.exit();
  }
}

/** A copy with one to four changes: bytes, bits, numbers that lengths are made of, stretches cut out, doubled or moved. */
function mutated(original: Uint8Array, random: Generator): Uint8Array {
  let bytes: Uint8Array = original.slice();
  for (let k = random.integer(4); k >= 0; k--) {
    const at = random.integer(bytes.length);
    const length = 1 + random.integer(Math.min(64, bytes.length - at));
    switch (random.integer(6)) {
      case 0:
        bytes[at] = random.integer(256);
        break;
      case 1:
        bytes[at] ^= 1 << random.integer(8);
        break;
      case 2:
        bytes.fill(random.integer(2) ? 255 : 0, at, at + Math.min(8, length));
        break;
      case 3:
        bytes = joined(bytes.subarray(0, at), bytes.subarray(at + length));
        break;
      case 4:
        bytes = joined(bytes.subarray(0, at + length), bytes.subarray(at));
        break;
      default:
        bytes.copyWithin(random.integer(bytes.length), at, at + length);
    }
    if (bytes.length === 0) return original.slice(0, 1);
  }
  return bytes;
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

const cut = (parts: number) => job.bytes.slice(0, Math.floor((parts * job.bytes.length) / PARTS));

const randomOf = (i: number) => new Generator(hash53(`${job.name} ${job.seed} ${i}`) % 2 ** 32);

if (job.from === -PARTS) {
  const whole = await readCheckpoint(job.bytes, { skipUnsupported: true, name: job.name }).catch(messageOf);
  if (typeof whole === "string") tell(job.from, `is refused though it is whole: ${whole}`);
}
for (let i = job.from; i < job.to; i++) {
  Atomics.store(job.shared, 0, i);
  await trial(i, i < 0 ? cut(PARTS + i) : mutated(job.bytes, randomOf(i)));
}
Atomics.store(job.shared, 0, job.to);
