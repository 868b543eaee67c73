// The thread that reads HDF5 files (hdf5.node.ts): a request in, an answer out, each file with a fresh library.

import { parentPort } from "node:worker_threads";
import { DataError, messageOf, ThawError } from "../core/error.ts";
import type { Hdf5Answer, Hdf5Request } from "./hdf5.node.ts";
import { freshLibrary } from "./hdf5_library.node.ts";
import { type Hdf5File, readWith } from "./hdf5_read.ts";
import { Source } from "./source.ts";

const port = parentPort;
port?.on("message", async (request: Hdf5Request) => {
  const answer = await answerTo(request);
  port.postMessage(answer, "file" in answer ? buffersOf(answer.file) : []);
});

async function answerTo({ name, bytes, skipUnsupported, mostMemory }: Hdf5Request): Promise<Hdf5Answer> {
  try {
    return { file: readWith(await freshLibrary(mostMemory), new Source(name, bytes), skipUnsupported) };
  } catch (error) {
    const kind = error instanceof DataError ? "data" : error instanceof ThawError ? "thaw" : "other";
    return { kind, error: messageOf(error) };
  }
}

/** The arrays' memory, which goes over instead of being copied. */
function buffersOf({ tensors }: Hdf5File): ArrayBuffer[] {
  const buffers = [...tensors.values()].map((entry) => entry.data.buffer as ArrayBuffer);
  return [...new Set(buffers)];
}
