"""What PyTorch keeps in memory for one training step, counted on the CPU: one JSON object on standard output.

saved: bytes of the distinct storages that autograd saves in the forward pass (torch.autograd.graph.saved_tensors_hooks),
parameters and buffers left out, the input included. peak: the most bytes that the whole step has allocated at once beyond
what was there before it (the profiler's record of every allocation), the parameters' gradients included, which stay.
"""

import argparse
import json
import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import torch.nn.functional as F
import torchvision

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../peers"))
from saved_tensors import counting_saved


def count_peak(model, x, y):
    """The most bytes allocated at once in forward and backward."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as prof:
        F.cross_entropy(model(x), y).backward()
    events = [e for e in prof.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = 0
    for e in sorted(events, key=lambda e: e.start_us()):
        now += e.nbytes()
        peak = max(peak, now)
    return peak


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="densenet121")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=224)
    options = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    model = getattr(torchvision.models, options.model)(weights=None).train()
    x = torch.randn(options.batch, 3, options.size, options.size)
    y = torch.arange(options.batch) % 1000
    with counting_saved(model) as saved:
        F.cross_entropy(model(x), y)
    model.zero_grad(set_to_none=True)
    peak = count_peak(model, x, y)
    gradients = sum(p.grad.numel() * p.grad.element_size() for p in model.parameters())
    line = {"engine": f"torch {torch.__version__}", "batch": options.batch, "size": options.size}
    print(json.dumps({**line, "saved": sum(saved.values()), "tensors": len(saved), "peak": peak, "gradients": gradients}))


main()
