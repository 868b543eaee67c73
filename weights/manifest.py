"""Writes manifest.json: torchvision's published ImageNet weights as its own enumerations list them, and Keras
Applications' as its source names them. Needs torchvision (0.13 or later); downloads nothing.

    /usr/bin/python3 weights/manifest.py
"""
import json
import re
from pathlib import Path

from torchvision.models import get_weight
import torchvision.models as models

TORCHVISION = """densenet121 densenet161 densenet169 densenet201 efficientnet_b0 efficientnet_b1 efficientnet_b2
efficientnet_b3 mobilenet_v2 resnet18 resnet34 resnet50 squeezenet1_0 squeezenet1_1 vgg11 vgg11_bn vgg13 vgg13_bn vgg16
vgg16_bn vgg19 vgg19_bn""".split()

# The files under these names are not those of the hashes in them; torchvision renamed them after 0.15
# (https://github.com/pytorch/vision/issues/7744).
RENAMED = {
    "efficientnet_b0_rwightman-3dd342df": "efficientnet_b0_rwightman-7f5810bc",
    "efficientnet_b1_rwightman-533bc792": "efficientnet_b1_rwightman-bac287d4",
    "efficientnet_b2_rwightman-bcdf34b7": "efficientnet_b2_rwightman-c35c1473",
    "efficientnet_b3_rwightman-cf984f9c": "efficientnet_b3_rwightman-b3899882",
}


def torchvision_entry(weights):
    url = weights.url
    for old, new in RENAMED.items():
        url = url.replace(old, new)
    file = url.rsplit("/", 1)[1]
    preset = weights.transforms()
    accuracy = weights.meta["_metrics"]["ImageNet-1K"]
    return {
        "file": file,
        "url": url,
        "sha256": re.search(r"-([0-9a-f]{8,})\.", file).group(1),
        "classes": len(weights.meta["categories"]),
        "parameters": weights.meta["num_params"],
        "accuracy": {"top1": accuracy["acc@1"], "top5": accuracy["acc@5"]},
        "preprocessing": {
            "resize": preset.resize_size[0],
            "crop": preset.crop_size[0],
            "interpolation": preset.interpolation.value,
            "mean": list(preset.mean),
            "std": list(preset.std),
        },
        "recipe": f"torchvision {weights.name}",
        "licence": "BSD-3-Clause (torchvision)",
    }


def torchvision_entries():
    for model in TORCHVISION:
        # The enumeration of vgg11_bn is VGG11_BN_Weights, that of densenet121 DenseNet121_Weights.
        wanted = f"{model}_weights".lower()
        enum = next(v for k, v in vars(models).items() if k.lower() == wanted and k.endswith("_Weights"))
        default = get_weight(f"{enum.__name__}.DEFAULT")
        for weights in enum:
            published = weights.meta.get("_metrics", {}).get("ImageNet-1K")
            # Others are for other tasks (vgg16's IMAGENET1K_FEATURES has a trunk only).
            if not published or weights.meta["categories"] is None or "FEATURES" in weights.name:
                continue
            kind = "imagenet" if weights == default else weights.name.lower()
            yield f"{model}/{kind}", torchvision_entry(weights)


# keras.applications: MD5 as its source states it (none for MobileNetV2), accuracy and parameters as keras.io/api/applications.
KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
CAFFE = {
    "resize": 256,
    "crop": 224,
    "interpolation": "bilinear",
    # 103.939, 116.779, 123.68 are taken off B, G, R in [0, 255].
    "mean": [v / 255 for v in (123.68, 116.779, 103.939)],
    "std": [1 / 255] * 3,
    "order": "bgr",
}
TORCH = {**CAFFE, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
del TORCH["order"]
TF = {**TORCH, "mean": [0.5] * 3, "std": [0.5] * 3}
# EfficientNet scales and normalises bytes itself.
BYTES = {**TORCH, "mean": [0] * 3, "std": [1 / 255] * 3}


def keras(url, classes, preprocessing, licence, parameters, accuracy, md5=None):
    entry = {"file": f"keras-{url.rsplit('/', 1)[1]}", "url": url}
    if md5:
        entry["md5"] = md5
    entry.update(classes=classes, parameters=parameters)
    if accuracy:
        entry["accuracy"] = {"top1": accuracy[0], "top5": accuracy[1]}
    entry.update(preprocessing=preprocessing, recipe="Keras Applications", licence=licence)
    return entry


def keras_entries():
    vgg = f"{KERAS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels"
    oxford = "CC-BY-4.0 (VGG, Oxford)"
    yield "keras.vgg16/imagenet", keras(
        f"{vgg}.h5", 1000, CAFFE, oxford, 138_357_544, (71.3, 90.1), "64373286793e3c8b2b4e3219cbf3544b"
    )
    yield "keras.vgg16_notop/imagenet", keras(
        f"{vgg}_notop.h5", 0, CAFFE, oxford, 14_714_688, None, "6d6bbae143d832006294945121d1f1fc"
    )
    dense = f"{KERAS}/densenet/densenet121_weights_tf_dim_ordering_tf_kernels"
    bsd = "BSD-3-Clause (DenseNet)"
    yield "keras.densenet121/imagenet", keras(
        f"{dense}.h5", 1000, TORCH, bsd, 8_062_504, (75.0, 92.3), "9d60b8095a5708f2dcce2bca79d332c7"
    )
    yield "keras.densenet121/imagenet_notop", keras(
        f"{dense}_notop.h5", 0, TORCH, bsd, 7_037_504, None, "30ee3e1110167f948a6b9946edeeb738"
    )
    efficient = "https://storage.googleapis.com/keras-applications/efficientnetb0"
    apache = "Apache-2.0 (Google)"
    yield "keras.efficientnetB0/imagenet", keras(
        f"{efficient}.h5", 1000, BYTES, apache, 5_330_571, (77.1, 93.3), "902e53a9f72be733fc0bcb005b3ebbac"
    )
    yield "keras.efficientnetB0/imagenet_notop", keras(
        f"{efficient}_notop.h5", 0, BYTES, apache, 4_049_571, None, "50bc09e76180e00e4465e1a485ddc09d"
    )
    mobile = f"{KERAS}/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels"
    yield "keras.mobilenetV2/imagenet", keras(f"{mobile}_1.0_224.h5", 1000, TF, apache, 3_538_984, (71.3, 90.1))
    # Keras counts a batch norm's statistics too.
    narrow = {"0.35": 1_691_208, "0.5": 1_987_224, "0.75": 2_663_064, "1.3": 5_431_048, "1.4": 6_156_712}
    for alpha, parameters in narrow.items():
        url = f"{mobile}_{alpha}_224.h5"
        yield f"keras.mobilenetV2_{alpha}/imagenet", keras(url, 1000, TF, apache, parameters, None)
    yield "keras.mobilenetV2/imagenet_notop", keras(f"{mobile}_1.0_224_no_top.h5", 0, TF, apache, 2_257_984, None)


if __name__ == "__main__":
    entries = {**dict(torchvision_entries()), **dict(keras_entries())}
    path = Path(__file__).with_name("manifest.json")
    path.write_text(json.dumps(entries, indent=2) + "\n")
    print(f"{path}: {len(entries)} entries")
