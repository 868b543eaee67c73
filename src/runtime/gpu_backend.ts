import type { RewriteOptions } from "../schedule/rewrites/index.ts";
import type { Backend } from "./backend.ts";
export interface GpuInit {
  readonly device?: object;
  readonly limits?: { maxStorageBufferBindingSize?: number };
  readonly rewrites?: RewriteOptions;
}
export async function openGpu(_o: GpuInit): Promise<Backend> {
  throw new Error("not yet");
}
