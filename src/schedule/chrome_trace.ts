// A profiled step as a file for chrome://tracing and Perfetto (the Trace Event Format of the Catapult project): the
// device's dispatches in order on one track, what the host did for the first and for a warm step on another.

import { show } from "../core/shape.ts";
import type { DispatchStep } from "./plan.ts";
import { rates, type TimedPlan } from "./profile.ts";

/** A stretch of the host's time, in ms from any beginning. */
export interface HostSpan {
  readonly name: string;
  readonly step: "first" | "warm";
  readonly from: number;
  readonly to: number;
}

/** One event; times in microseconds. */
export interface TraceEvent {
  readonly name: string;
  /** X: a stretch; i: a moment; M: the name of a track. */
  readonly ph: "X" | "i" | "M";
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  /** Of a moment: how far it is drawn; t: on its track only. */
  readonly s?: "t";
  readonly cat?: string;
  readonly args?: Readonly<Record<string, unknown>>;
}

export interface ChromeTrace {
  readonly displayTimeUnit: "ms";
  readonly otherData: Readonly<Record<string, unknown>>;
  readonly traceEvents: readonly TraceEvent[];
}

const HOST = { pid: 1, tid: 1 };
const DEVICE = { pid: 2, tid: 1 };

const microseconds = (ms: number) => Math.round(ms * 1e6) / 1e3;

const named = ({ pid, tid }: typeof HOST, process: string, thread: string): TraceEvent[] => [
  { name: "process_name", ph: "M", pid, tid, args: { name: process } },
  { name: "thread_name", ph: "M", pid, tid, args: { name: thread } },
];

function dispatchArgs(s: DispatchStep, ms: number): Record<string, unknown> {
  const { gflops, gbps } = rates({ calls: 1, ms, flops: s.flops, bytes: s.bytes });
  return {
    layer: s.layer,
    phase: s.phase,
    inputs: s.call.inputs.map(show),
    outputs: s.call.outputs.map(show),
    shader: s.shader,
    params: s.specialisation.params ?? {},
    grid: s.grid,
    flops: s.flops,
    bytes: s.bytes,
    gflops,
    gbps,
  };
}

/** The device's track: durations end to end, so gaps between dispatches are not shown. Copies have no duration. */
function deviceEvents({ plan, ms }: TimedPlan, begin: number): TraceEvent[] {
  let at = begin;
  return plan.steps.map((s, i): TraceEvent => {
    const ts = microseconds(at);
    if (s.kind === "copy")
      return { name: "copy", ph: "i", s: "t", ts, ...DEVICE, args: { layer: s.layer, bytes: s.to.size } };
    at += ms[i];
    return {
      name: `${s.op} ${s.kernel}`,
      cat: s.phase,
      ph: "X",
      ts,
      dur: microseconds(ms[i]),
      ...DEVICE,
      args: dispatchArgs(s, ms[i]),
    };
  });
}

/** `about` is what a reader of the file wants to know of its making. */
export function chromeTrace(
  timed: TimedPlan,
  host: readonly HostSpan[],
  about: Readonly<Record<string, unknown>>,
): ChromeTrace {
  const origin = Math.min(...host.map((h) => h.from), Number.POSITIVE_INFINITY);
  const spans = host.map(
    (h): TraceEvent => ({
      name: h.name,
      cat: h.step,
      ph: "X",
      ts: microseconds(h.from - origin),
      dur: microseconds(h.to - h.from),
      ...HOST,
      args: { step: h.step },
    }),
  );
  // Under the warm step, whose submit sets such work going.
  const warm = host.find((h) => h.step === "warm" && h.name === "submit");
  return {
    displayTimeUnit: "ms",
    otherData: about,
    traceEvents: [
      ...named(HOST, "host", "first and warm step"),
      ...named(DEVICE, "device", "dispatches of one step, end to end"),
      ...spans,
      ...deviceEvents(timed, warm ? warm.from - origin : 0),
    ],
  };
}
