// What kernels are chosen by.

/** Facts about the device that choose kernels. Plain data, so that choices can be made and tested without one. */
export interface DeviceTraits {
  /** Runs on the CPU (lavapipe, SwiftShader): register tiles without workgroup memory win there. */
  readonly software: boolean;
  /** `subgroups` is there and every subgroup has at least 8 lanes. */
  readonly subgroups: boolean;
  /** Opened for half precision where kernels have it: operands are rounded to f16 on load, sums stay f32. */
  readonly f16: boolean;
  readonly maxWorkgroups: number;
  readonly maxInvocations: number;
  /** Bytes of memory that a workgroup may share. */
  readonly workgroupStorage: number;
  /** How many multiprocessors (compute units, cores) it has, so that grids can be made to fill it; a guess if unknown. */
  readonly multiprocessors: number;
}
