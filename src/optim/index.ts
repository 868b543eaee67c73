// optim: SGD, Adam and AdamW with torch.optim's formulas and defaults.

export { Adam, type AdamOptions, AdamW } from "./adam.ts";
export { Optimizer, type OptimizerLoad, type OptimizerState, type ParamGroup } from "./optimizer.ts";
export { SGD, type SgdOptions } from "./sgd.ts";
