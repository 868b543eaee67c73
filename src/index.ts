// Thaw's public face: re-exports only.

export {
  DataError,
  DeviceError,
  DeviceLost,
  OutOfMemory,
  ShapeError,
  ThawError,
  UsageError,
} from "./core/error.ts";
export * as data from "./data/index.ts";
export {
  type Exported,
  type ExportOptions,
  exportOnnx,
  exportTfjs,
  onnxBytes,
  tfjsFiles,
} from "./export/index.ts";
export * as models from "./models/index.ts";
export * as nn from "./nn/index.ts";
export { freeze, Module, unfreeze } from "./nn/index.ts";
export * as optim from "./optim/index.ts";
export type { InitOptions } from "./runtime/context.ts";
export { type PlanMemory, planBytes, planMemory } from "./schedule/memory.ts";
export type { Plan } from "./schedule/plan.ts";
export { printPlan, summarizePlan } from "./schedule/print_plan.ts";
export { type Compiled, compile, planOf } from "./tensor/compile.ts";
export { concat, full, noGrad, ones, stack, tensor, where, zeros } from "./tensor/functions.ts";
export { close, init, manualSeed } from "./tensor/session.ts";
export { Tensor } from "./tensor/tensor.ts";
export * as train from "./train/index.ts";
export { loadRun } from "./train/index.ts";
export * as metrics from "./train/metrics.ts";
export * as weights from "./weights/index.ts";
