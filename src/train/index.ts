// The face of src/train: fit and its parts, for Node and pages alike. What needs files is loaded when it is called.

export { finetune } from "./finetune.ts";
export type { FinetuneEvent, FinetuneOptions, FinetuneResult } from "./finetune_options.ts";
export { fit } from "./fit.ts";
export type { FitEvent, FitOptions, FitResult } from "./fit_options.ts";
export { parseHead, replaceHead } from "./head.ts";
export { buildNetwork, type NetworkOptions, type Pretrained } from "./network.ts";
export {
  type ClassifierParts,
  type ClassProbability,
  type ImageInput,
  PictureClassifier,
  type Prediction,
} from "./picture_classifier.ts";
export { applyPolicy, checkPolicy, type FreezePolicy, type FreezeReport } from "./policy.ts";
export { loadRun, type RunClassifier } from "./run.ts";
export type { RunInfo, RunOptions } from "./run_info.ts";
export { TRAINED, type Trained } from "./sample_step.ts";
export {
  type CheckpointStore,
  type EpochRecord,
  memoryStore,
  type Progress,
  restoreSnapshot,
  type Snapshot,
  type SnapshotState,
  snapshotWeights,
  takeSnapshot,
} from "./snapshot.ts";
export {
  type BatchSource,
  type PreparedPictures,
  type PrepareOptions,
  pictureSource,
  preparePictures,
  type TrainBatch,
} from "./source.ts";
export {
  Diverged,
  type EvaluateOptions,
  type Evaluation,
  evaluate,
  evaluator,
  type LossFunction,
  type Network,
  type Score,
  trainStep,
} from "./steps.ts";
export { checkImageSize, type LayerRow, type NetworkSummary, summary } from "./summary.ts";
export { loadClassifier } from "./teachable.ts";
export {
  checkTuneOptions,
  type StepName,
  type TimedChoice,
  type TunedCall,
  type TunedStep,
  type TuneOptions,
  type Tuning,
  tuneModel,
} from "./tune.ts";
