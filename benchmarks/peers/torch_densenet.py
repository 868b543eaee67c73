"""PyTorch on the CPU as a peer: answers one JSON line for every JSON line, like tfjs.mjs. Two threads."""

import json
import os
import sys
import time

# OpenMP's threads spin while they wait for each other, which on a busy machine makes PyTorch tens of times slower than
# it is: whoever spins holds the core that the other one needs. Read when torch loads, so it is set before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import torch.nn.functional as F
import torchvision
from read_safetensors import read_safetensors


def open_parts(model, what):
    """Puts the model in eval mode, then what trains in train mode with batch statistics."""
    model.eval()
    for p in model.parameters():
        p.requires_grad_(False)
    parts = {
        "forward": [],
        "head": [model.classifier],
        "last": [model.features.denseblock4, model.features.norm5, model.classifier],
        "all": [model],
    }[what]
    for part in parts:
        part.train()
        for p in part.parameters():
            p.requires_grad_(True)


class Engine:
    def load(self, request):
        torch.set_num_threads(2)
        tensors = read_safetensors(request["weights"])
        self.x, self.y = tensors.pop("bench.x"), tensors.pop("bench.y").long()
        try:
            self.model = torchvision.models.densenet121(weights=None)
        except TypeError:
            self.model = torchvision.models.densenet121(pretrained=False)
        self.model.load_state_dict(tensors)
        self.what, adam = request["what"], request["adam"]
        open_parts(self.model, self.what)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        if trained:
            self.optimizer = torch.optim.Adam(trained, adam["lr"], tuple(adam["betas"]), adam["eps"])
        count = sum(p.numel() for p in trained)
        return {"trained": count, "adapter": f"CPU, 2 threads, PyTorch {torch.__version__}"}

    def logits(self, _request):
        modes = [(m, m.training) for m in self.model.modules()]
        self.model.eval()
        with torch.no_grad():
            out = self.model(self.x).flatten().tolist()
        for m, training in modes:
            m.training = training
        return {"logits": out}

    def forward(self):
        with torch.no_grad():
            self.model(self.x).numpy()

    def train(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def step(self, _request):
        began = time.perf_counter()
        loss = self.forward() if self.what == "forward" else self.train()
        return {"ms": (time.perf_counter() - began) * 1e3, "loss": loss}


def main():
    engine = Engine()
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "end":
            return
        try:
            # NaN is no JSON: it is reported, not printed as a line that nobody can read.
            answer = json.dumps(getattr(engine, request["do"])(request), allow_nan=False)
        except Exception as error:  # reported to the harness, which names it
            answer = json.dumps({"error": str(error)})
        print(answer, flush=True)


main()
