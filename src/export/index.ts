// The face of src/export: whole networks as files of other engines. Files of weights alone are src/weights' matter.

export { exportOnnx, onnxBytes } from "./onnx.ts";
export type { Exported, ExportOptions } from "./options.ts";
export { exportTfjs, tfjsFiles } from "./tfjs.ts";
