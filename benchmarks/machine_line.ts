// What a reader of a recorded run wants to know of the machine: the device and what it can do, the host, the commit.

import { cpus, loadavg } from "node:os";
import type { Ceilings } from "../src/gpu/ceilings.ts";
import type { Tools } from "../src/gpu/lone_dispatch.ts";
import { busyNote, calibrationName, commitName } from "./machine.ts";
import { type Report, round } from "./report.ts";
import { backend } from "./thaw.ts";

const ROOT = new URL("../", import.meta.url);

/** Measures the machine and says what it is, and how busy. */
export async function sayMachine(devices: Tools, report: Report): Promise<Ceilings> {
  report.phase("measuring the machine");
  const gpu = await backend();
  const ceilings = await gpu.ceilings();
  const { name, adapter } = gpu;
  const line = {
    kind: "machine",
    adapter: name,
    ceilingGflops: round(ceilings.gflops),
    ceilingGbps: round(ceilings.gbps),
    commit: commitName(ROOT),
  };
  // What else a reader of a recorded run wants to know: the device, its driver, the host, and how busy it was.
  const { vendor, device, description: driver } = adapter;
  const host = {
    vendor,
    device,
    driver,
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    load: round(loadavg()[0]),
  };
  const calibration = calibrationName(devices);
  const when = { node: process.version, date: new Date().toISOString() };
  report.line({ ...line, ...host, calibration, ...when });
  report.text(
    `${line.adapter}: ${line.ceilingGflops} GFLOP/s multiply-add, ${line.ceilingGbps} GB/s copy, commit ${line.commit}`,
  );
  if (calibration === "plain8")
    report.text("this device has no subgroups: the calibration kernel is the plain one, which takes longer");
  const busy = busyNote(host.load, host.cores);
  if (busy) report.text(busy);
  return ceilings;
}
