"""Trains torchvision's DenseNet-121 on batches that Thaw wrote, from the weights that Thaw wrote; prints one JSON line
an epoch and one for the test. Called by finetune.ts with the folder of the exchange."""

import json
import os
import sys

import torch
import torch.nn.functional as F
import torchvision

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../peers"))

from read_safetensors import read_safetensors


def main(folder):
    torch.set_num_threads(2)
    plan = json.load(open(f"{folder}/plan.json"))
    pictures = read_safetensors(f"{folder}/pictures.safetensors")["pictures"]
    labels = torch.tensor(plan["labels"])
    model = torchvision.models.densenet121(num_classes=plan["classes"])
    model.load_state_dict(read_safetensors(f"{folder}/weights.safetensors"))
    optimizer = torch.optim.Adam(model.parameters(), lr=plan["lr"])
    mean = torch.tensor(plan["mean"]).view(1, 3, 1, 1)
    std = torch.tensor(plan["std"]).view(1, 3, 1, 1)

    def batch(indices):
        x = pictures[indices].permute(0, 3, 1, 2).float().div(255)
        return (x - mean) / std, labels[indices]

    def score(indices):
        model.eval()
        loss, right = 0.0, 0
        with torch.no_grad():
            for at in range(0, len(indices), plan["batchSize"]):
                x, y = batch(indices[at : at + plan["batchSize"]])
                logits = model(x)
                loss += F.cross_entropy(logits, y, reduction="sum").item()
                right += (logits.argmax(1) == y).sum().item()
        return {"loss": loss / len(indices), "accuracy": right / len(indices)}

    for number, batches in enumerate(plan["epochs"], 1):
        model.train()
        loss, count = 0.0, 0
        for indices in batches:
            x, y = batch(indices)
            optimizer.zero_grad()
            value = F.cross_entropy(model(x), y)
            value.backward()
            optimizer.step()
            loss += value.item() * len(indices)
            count += len(indices)
        print(json.dumps({"epoch": number, "train": loss / count, "val": score(plan["val"])}), flush=True)
    print(json.dumps({"test": score(plan["test"])}), flush=True)


main(sys.argv[1])
