// nn: modules, losses, initialisation and freezing under PyTorch's names.

export { Buffer, Counter, Parameter } from "../tensor/parameter.ts";
export * from "./activations.ts";
export { clipGradNorm } from "./clip.ts";
export { type FreezeOptions, freeze, type UnfreezeOptions, unfreeze } from "./freeze.ts";
export * as functional from "./functional.ts";
export * as init from "./init.ts";
export * from "./layers.ts";
export * from "./losses.ts";
export { Module } from "./module.ts";
export { matching, namesMatching } from "./patterns.ts";
export * from "./pooling.ts";
export { Sequential } from "./sequential.ts";
export {
  exportState,
  type LoadOptions,
  type LoadReport,
  type StateEntry,
  type StateInput,
} from "./state_dict.ts";
