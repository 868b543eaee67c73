// The face of src/weights: reading and writing weight files. What the names in them mean to a model is decided in
// src/nn and src/models.

export { bfloatToFloat, floatToHalf, halfToFloat, toFloat32 } from "../core/half.ts";
export { hdf5From } from "./hdf5_library.ts";
export type { FileModel, Preprocessing } from "./model_info.ts";
export { type Checkpoint, type ReadOptions, read, readCheckpoint } from "./read.ts";
export { readSafetensors, type SafetensorsFile, type SafetensorsOptions } from "./safetensors.ts";
export { type WriteOptions, writeSafetensors } from "./safetensors_write.ts";
export type { WeightInput } from "./source.ts";
export { type Statistics, statistics } from "./statistics.ts";
export { type TorchOptions, writeTorch } from "./torch_write.ts";
export type { Plain, Skipped, WeightData, WeightDType, WeightEntry, Weights } from "./types.ts";
export { type FileDict, type TensorToWrite, write } from "./write.ts";
export type { WriteDict, WriteDType, WriteEntry } from "./write_items.ts";
