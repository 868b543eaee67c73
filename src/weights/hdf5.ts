// HDF5 files: where the library runs that reads them. In Node that is a thread of its own, because the C code can loop
// for ever over a damaged file; in a page it is the page's own, which trusts the file that its user chose.

import { inNode } from "../core/env.ts";
import { pageLibrary } from "./hdf5_library.ts";
import { type Hdf5File, readWith } from "./hdf5_read.ts";
import type { Source } from "./source.ts";

/** The file's datasets by their paths, and its groups' attributes. Throws DataError, ThawError without h5wasm. */
export async function readHdf5(source: Source, skipUnsupported: boolean): Promise<Hdf5File> {
  if (inNode()) {
    const { readInThread } = await import("./hdf5.node.ts");
    return readInThread(source, skipUnsupported);
  }
  return readWith(await pageLibrary(), source, skipUnsupported);
}
