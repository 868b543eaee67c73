// Tensors with persistent memory: trainable Parameters and Buffers (running statistics), and the host counter of batch
// norm.

import { Variable } from "../autograd/variable.ts";
import type { HostArray } from "../core/dtype.ts";
import { numel, type Shape, type TypeOf } from "../core/shape.ts";
import { runtime } from "../runtime/context.ts";
import { Tensor } from "./tensor.ts";

function stateVariable(type: TypeOf, data: HostArray | null, label: string): Variable {
  const copy = data ? data.slice() : null;
  return new Variable(type, { state: runtime().newState(label, type, copy) });
}

/** Replaces the contents of a state-backed tensor with host data of the same element count. */
export function writeTensor(t: Tensor, data: HostArray): void {
  const slice = t.variable.state;
  if (!slice) throw new Error("writeTensor: only parameters and buffers can be written");
  if (data.length !== numel(t.shape))
    throw new RangeError(`writeTensor: ${data.length} elements for [${t.shape}]`);
  runtime().write(slice, data);
}

/** A trainable tensor of a module: f32, `requiresGrad` on. */
export class Parameter extends Tensor {
  constructor(shape: Shape, data: Float32Array | null = null, label = "parameter") {
    super(stateVariable({ shape, dtype: "f32" }, data, label));
    this.variable.requiresGrad = true;
  }
}

/** A tensor of a module that is saved but not trained. */
export class Buffer extends Tensor {
  constructor(shape: Shape, data: HostArray | null = null, label = "buffer") {
    super(stateVariable({ shape, dtype: "f32" }, data, label));
  }
}

/** A whole number of a module, kept on the host and saved as int64 (batch norm's num_batches_tracked). */
export class Counter {
  value = 0;
}
