// Where measurements are kept from run to run: in Node a file per machine in the user's cache folder, in a page an
// IndexedDB. This is the door to both.

import { inNode } from "../../core/env.ts";
import { hashText } from "../../core/hash.ts";
import type { DeviceTraits } from "../../core/traits.ts";
import type { AdapterSummary } from "../../gpu/device.ts";
import type { Records } from "./records.ts";

/** What measurements hold for: the adapter with its driver, what kernels may be chosen by, the host. */
export interface Machine {
  readonly adapter: AdapterSummary;
  readonly traits: DeviceTraits;
  readonly host: string;
}

export interface TuningStore {
  /** Where it keeps them, for people. */
  readonly where: string;
  /** All there are; none, with a warning, where they cannot be read. */
  read(): Promise<Records>;
  /** Adds records, replacing those of the same calls; warns where they cannot be kept. */
  add(records: Records): Promise<void>;
  /** Forgets all. */
  clear(): Promise<void>;
}

/** Moves when records come to mean something else; older ones are then left alone. */
export const FORMAT = "thaw-tuning-1";

/** A machine's name among others. */
export function machineKey(machine: Machine): string {
  const { adapter, traits, host } = machine;
  const name = (adapter.device || adapter.architecture || adapter.vendor || "gpu").replace(/[^\w.]+/g, "-");
  return `${name.replace(/^-|-$/g, "")}-${hashText(JSON.stringify([FORMAT, adapter, traits, host]))}`;
}

/** The store of a machine; null where this host has none. */
export async function openStore(adapter: AdapterSummary, traits: DeviceTraits): Promise<TuningStore | null> {
  if (inNode()) {
    const { FileStore } = await import("./file_store.node.ts");
    return new FileStore({ adapter, traits, host: `${process.platform} ${process.arch}` });
  }
  const { indexedDB, navigator } = globalThis;
  if (!indexedDB) return null;
  const { PageStore } = await import("./page_store.ts");
  // A page is told little of the driver; a new browser may bring another compiler.
  return new PageStore({ adapter, traits, host: navigator.userAgent }, indexedDB);
}
