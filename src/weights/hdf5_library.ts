// The HDF5 library (h5wasm: the HDF Group's C code as WebAssembly), loaded when the first HDF5 file is read. Files
// lie in its own memory: it sees no disk, so nothing that a file links to can be reached.

import { ThawError } from "../core/error.ts";

/** What the library says of a dataset or an attribute. */
export interface Hdf5Metadata {
  readonly type: number;
  /** Bytes of one element. */
  readonly size: number;
  readonly total_size: number;
  /** null for an empty dataspace. */
  readonly shape: number[] | null;
  readonly signed: boolean;
  readonly vlen: boolean;
  readonly enum_type?: { readonly members: Readonly<Record<string, number>>; readonly type: number };
  readonly virtual_sources?: readonly unknown[];
}

/** The part of h5wasm's low-level module that is used here. Identifiers and addresses are 64-bit. */
export interface Hdf5Module {
  readonly HEAPU8: Uint8Array;
  readonly FS: {
    writeFile(path: string, data: Uint8Array, options?: { canOwn?: boolean }): void;
    unlink(path: string): void;
  };
  readonly H5G_GROUP: number;
  readonly H5G_DATASET: number;
  readonly H5G_TYPE: number;
  readonly H5G_LINK: number;
  readonly H5G_UDLINK: number;
  activate_throwing_error_handler(): number;
  open(path: string, mode: number, trackOrder: boolean, libverLow: number, libverHigh: number): bigint;
  close_file(file: bigint): number;
  get_names(file: bigint, path: string, recursive: boolean): string[];
  get_type(file: bigint, path: string): number;
  /** Where a soft link points to; null for anything else. */
  get_symbolic_link(file: bigint, path: string): string | null;
  get_attribute_names(file: bigint, path: string): string[];
  get_attribute_metadata(file: bigint, path: string, name: string): Hdf5Metadata;
  get_attribute_data(file: bigint, path: string, name: string, address: bigint): number;
  get_dataset_metadata(file: bigint, path: string): Hdf5Metadata;
  get_dataset_data(
    file: bigint,
    path: string,
    count: null,
    offset: null,
    strides: null,
    address: bigint,
  ): number;
  UTF8ToString(address: number): string;
  _malloc(bytes: number): number;
  _free(address: number): void;
}

/** Classes of HDF5's element types (H5T_class_t). */
export const HDF5_CLASS = { integer: 0, float: 1, string: 3, opaque: 5, compound: 6, enum: 8, vlen: 9 };

let address = "h5wasm";

/**
 * Says where a page finds h5wasm (its dist/esm/hdf5_hl.js), which it loads when it reads its first HDF5 file: a URL, or
 * a name of its import map. Default "h5wasm". Node finds the package by itself.
 */
export function hdf5From(url: string | URL): void {
  address = String(url);
}

/** The library of the page. Throws ThawError without it. */
export async function pageLibrary(): Promise<Hdf5Module> {
  const library = await import(/* @vite-ignore */ address).catch(() => {
    throw new ThawError(
      `reading HDF5 files (Keras) needs the package h5wasm, which this page does not have at ${address}; say where it is with weights.hdf5From(url), or in an import map`,
    );
  });
  return (await library.ready) as Hdf5Module;
}
