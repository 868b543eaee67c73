"""PyTorch as a peer: answers one JSON line for every JSON line (../serve.ts has the protocol). On the CPU with two threads,
or on CUDA; in fp32, with TF32, or under AMP with channels last. The code is the same on both devices."""

import argparse
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
from saved_tensors import counting_saved


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


class Device:
    """Where and in which arithmetic it computes."""

    def __init__(self, name, mode):
        self.name, self.mode = name, mode
        self.cuda = name == "cuda"
        self.amp = mode == "amp"
        # Off unless asked for: torch 1.12 and later round convolutions, but not matrix products, to TF32 on their own.
        torch.backends.cuda.matmul.allow_tf32 = mode == "tf32"
        torch.backends.cudnn.allow_tf32 = mode == "tf32"
        torch.backends.cudnn.benchmark = True
        if not self.cuda:
            torch.set_num_threads(2)

    @property
    def half(self):
        return torch.float16 if self.cuda else torch.bfloat16

    def autocast(self):
        return torch.autocast(self.name, dtype=self.half, enabled=self.amp)

    def wait(self):
        if self.cuda:
            torch.cuda.synchronize()

    def place(self, value):
        """A model or a batch of pictures."""
        layout = torch.channels_last if self.amp else torch.contiguous_format
        return value.to(self.name, memory_format=layout)

    def describe(self):
        where = torch.cuda.get_device_name() if self.cuda else "CPU, 2 threads"
        return f"{where}, {self.mode}, PyTorch {torch.__version__}"


def seconds(device, work, least=0.2):
    """The fastest of several runs: a ceiling is what the device can do undisturbed."""
    best, spent, runs = float("inf"), 0.0, 0
    while runs < 3 or (spent < least and runs < 50):
        device.wait()
        began = time.perf_counter()
        work()
        device.wait()
        took = time.perf_counter() - began
        if runs > 0:  # the first one finds its kernels
            best = min(best, took)
        spent += took
        runs += 1
    return best


def product_gflops(device, n, dtype, tf32=False):
    torch.backends.cuda.matmul.allow_tf32 = tf32
    a, b = (torch.rand(n, n, device=device.name).to(dtype) for _ in range(2))
    took = seconds(device, lambda: a @ b)
    torch.backends.cuda.matmul.allow_tf32 = device.mode == "tf32"
    return 2 * n**3 / took / 1e9


class Engine:
    def __init__(self, device):
        self.device = device

    def load(self, request):
        tensors = read_safetensors(request["weights"])
        self.x, y = self.device.place(tensors.pop("bench.x")), tensors.pop("bench.y").long()
        self.y = y.to(self.device.name)
        try:
            model = torchvision.models.densenet121(weights=None)
        except TypeError:
            model = torchvision.models.densenet121(pretrained=False)
        model.load_state_dict(tensors)
        self.model = self.device.place(model)
        self.what, adam = request["what"], request["adam"]
        open_parts(self.model, self.what)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        if trained:
            self.optimizer = torch.optim.Adam(trained, adam["lr"], tuple(adam["betas"]), adam["eps"])
        # Scaled by one: the weights that all engines share have gradients far from what half precision loses, and a
        # larger scale would overflow and skip the very steps that are compared.
        self.scaler = torch.cuda.amp.GradScaler(init_scale=1.0, enabled=self.device.amp and self.device.cuda)
        return {"trained": sum(p.numel() for p in trained), "adapter": self.device.describe()}

    def logits(self, _request):
        modes = [(m, m.training) for m in self.model.modules()]
        self.model.eval()
        out = self.forward()
        for m, training in modes:
            m.training = training
        return {"logits": out.flatten().tolist()}

    def forward(self):
        with torch.no_grad(), self.device.autocast():
            return self.model(self.x).float().cpu()

    def train(self):
        self.optimizer.zero_grad(set_to_none=True)
        with self.device.autocast():
            loss = F.cross_entropy(self.model(self.x), self.y)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        value = loss.item()
        self.device.wait()
        return value

    def step(self, request):
        self.device.wait()
        began = time.perf_counter()
        forward = self.what == "forward"
        out, loss = (self.forward(), None) if forward else (None, self.train())
        answer = {"ms": (time.perf_counter() - began) * 1e3, "loss": loss}
        if forward and request["count"]:
            answer["logits"] = out.flatten().tolist()
        if self.device.cuda:
            answer["gpuBytes"] = torch.cuda.max_memory_allocated()
        return answer

    def kept(self, request):
        """Bytes a full step needs for each picture beside parameters: on CUDA the most that was allocated, on the CPU the
        tensors saved for the way back, each memory once. The gradients of activations come on top there."""
        batch, size = request["batch"], request["size"]
        model = self.device.place(torchvision.models.densenet121()).train()
        x = self.device.place(torch.rand(batch, 3, size, size))
        y = torch.zeros(batch, dtype=torch.long, device=self.device.name)
        if self.device.cuda:
            torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() if self.device.cuda else 0
        with self.device.autocast(), counting_saved(model) as saved:
            loss = F.cross_entropy(model(x), y)
        if self.device.cuda:
            loss.backward()
            # Parameters' gradients are no activations.
            gradients = sum(4 * p.numel() for p in model.parameters())
            return {"bytesPerPicture": (torch.cuda.max_memory_allocated() - before - gradients) / batch}
        return {"bytesPerPicture": sum(saved.values()) / batch}

    def ceilings(self, request):
        """What the device reaches in PyTorch's own hands: copying, and matrix products of this many rows."""
        n = request["size"]
        source = torch.rand(n * n, device=self.device.name)
        target = torch.empty_like(source)
        took = seconds(self.device, lambda: target.copy_(source))
        return {
            "copyGbps": 2 * 4 * n * n / took / 1e9,
            "fp32Gflops": product_gflops(self.device, n, torch.float32),
            "tf32Gflops": product_gflops(self.device, n, torch.float32, tf32=True),
            "halfGflops": product_gflops(self.device, n, self.device.half),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--mode", choices=["fp32", "tf32", "amp"], default="fp32")
    args = parser.parse_args()
    engine = Engine(Device(args.device, args.mode))
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
