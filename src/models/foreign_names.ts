// Names that timm and Hugging Face give the weights of networks whose arithmetic is torchvision's, as safetensors files
// on their hub have them. Others of theirs (google/mobilenet_v2, google/efficientnet, timm's tf_*) pad as TensorFlow
// does: their names mean nothing here, so that they are refused instead of computed wrongly.
// timm/models/efficientnet.py, _efficientnet_blocks.py; transformers/models/resnet/modeling_resnet.py

/** Whether a state dict has timm's names of the EfficientNet family, MobileNetV2 among it. */
export const isTimm = (all: ReadonlySet<string>): boolean => all.has("conv_stem.weight");

/** Blocks in each of MobileNetV2's stages; torchvision counts them through, behind the stem. */
const MOBILENET_BLOCKS = [1, 2, 3, 4, 3, 3, 1];

/** Layers of a block that widens and of one that does not, by torchvision's place. */
const MOBILENET = {
  plain: { conv_dw: "0.0", bn1: "0.1", conv_pw: "1", bn2: "2" },
  wide: { conv_pw: "0.0", bn1: "0.1", conv_dw: "1.0", bn2: "1.1", conv_pwl: "2", bn3: "3" },
};

const EFFICIENTNET = {
  plain: {
    ...{ conv_dw: "0.0", bn1: "0.1", "se.conv_reduce": "1.fc1", "se.conv_expand": "1.fc2" },
    ...{ conv_pw: "2.0", bn2: "2.1" },
  },
  wide: {
    ...{ conv_pw: "0.0", bn1: "0.1", conv_dw: "1.0", bn2: "1.1" },
    ...{ "se.conv_reduce": "2.fc1", "se.conv_expand": "2.fc2", conv_pwl: "3.0", bn3: "3.1" },
  },
};

type Layers = Readonly<Record<string, string>>;

/** A name of timm's within a block, taken apart: stage, block, layer, parameter. */
const BLOCK = /^blocks\.(\d+)\.(\d+)\.(.+)\.(\w+)$/;

/** timm's mobilenetv2_100 → torchvision's mobilenet_v2; names that are no such are kept. */
export function mobilenetFromTimm(name: string): string {
  const [, stage, block, layer, parameter] = BLOCK.exec(name) ?? [];
  if (stage === undefined) return aroundBlocks(name, 18);
  const layers: Layers = Number(stage) === 0 ? MOBILENET.plain : MOBILENET.wide;
  const before = MOBILENET_BLOCKS.slice(0, Number(stage)).reduce((a, b) => a + b, 0);
  const place = 1 + before + Number(block);
  return layers[layer] === undefined ? name : `features.${place}.conv.${layers[layer]}.${parameter}`;
}

/** timm's efficientnet_b0 to b3 → torchvision's; names that are no such are kept. */
export function efficientnetFromTimm(name: string): string {
  const [, stage, block, layer, parameter] = BLOCK.exec(name) ?? [];
  if (stage === undefined) return aroundBlocks(name, 8);
  const layers: Layers = Number(stage) === 0 ? EFFICIENTNET.plain : EFFICIENTNET.wide;
  const place = `features.${Number(stage) + 1}.${block}.block`;
  return layers[layer] === undefined ? name : `${place}.${layers[layer]}.${parameter}`;
}

/** What lies before and behind the blocks; `last` is the number of the last layer of torchvision's `features`. */
function aroundBlocks(name: string, last: number): string {
  const places: Layers = {
    conv_stem: "features.0.0",
    bn1: "features.0.1",
    conv_head: `features.${last}.0`,
    bn2: `features.${last}.1`,
    classifier: "classifier.1",
  };
  const [, layer, parameter] = /^(\w+)\.(\w+)$/.exec(name) ?? [];
  return places[layer ?? ""] === undefined ? name : `${places[layer]}.${parameter}`;
}

const RESNET_STEM = /^(?:resnet\.)?embedder\.embedder\.(convolution|normalization)\.(\w+)$/;
const RESNET_LAYER =
  /^(?:resnet\.)?encoder\.stages\.(\d+)\.layers\.(\d+)\.(?:(shortcut)|layer\.(\d+))\.(convolution|normalization)\.(\w+)$/;

/** Whether a state dict has the names of Hugging Face's ResNet, with or without a head. */
export const isHuggingFaceResNet = (all: ReadonlySet<string>): boolean =>
  all.has("resnet.embedder.embedder.convolution.weight") || all.has("embedder.embedder.convolution.weight");

/** Hugging Face's ResNet (microsoft/resnet-50) → torchvision's; names that are no such are kept. */
export function resnetFromHuggingFace(name: string): string {
  const stem = RESNET_STEM.exec(name);
  if (stem) return `${stem[1] === "convolution" ? "conv1" : "bn1"}.${stem[2]}`;
  const found = RESNET_LAYER.exec(name);
  if (!found) return name.replace(/^classifier\.1\./, "fc.");
  const [, stage, block, shortcut, layer, kind, parameter] = found;
  const isConv = kind === "convolution";
  const own = `${isConv ? "conv" : "bn"}${Number(layer) + 1}`;
  const place = shortcut ? `downsample.${isConv ? 0 : 1}` : own;
  return `layer${Number(stage) + 1}.${block}.${place}.${parameter}`;
}
