// Pictures from files to batches of bytes: the public names of src/data.
export { type CachedDataset, cached, DEFAULT_CACHE_BYTES } from "./cache.ts";
export { type DecodeOptions, decode } from "./decode.ts";
export { type Drawable, drawn, isDrawable } from "./drawn.ts";
export { centerCropOffset, resizeShortSide } from "./geometry.ts";
export { groupsOf } from "./groups.ts";
export {
  type ImageFolder,
  type ImageFolderOptions,
  imageFolder,
  type PartName,
  pictureFiles,
} from "./image_folder.ts";
export { checkReadable, type Inspection, type InspectOptions, inspect } from "./inspect.ts";
export {
  type Batch,
  type BatchOptions,
  batchCount,
  batches,
  batchesThrough,
  chunk,
  epochOrder,
  type LoadOptions,
  samples,
} from "./loader.ts";
export { type PartitionOptions, partition } from "./partition.ts";
export { type Dataset, nameOf, type Picture, rgbFrom, type Sample, type Unreadable } from "./picture.ts";
export { checkPicture, normalizePictures, type PrepareSpec, prepare, stackPictures } from "./prepare.ts";
export {
  PRECISION_BITS,
  type ResampleTable,
  type ResizeBox,
  type ResizeFilter,
  resampleCoeffs,
  resizeReference,
} from "./resize.ts";
export { type SampleOptions, sample } from "./sample.ts";
export { type Split, type SplitOptions, split } from "./split.ts";
