"""Writes tests/stored.json: losses at points of a surface by PyTorch in double precision, for tests/stored.rs to compare
with where there is no PyTorch. Weights, directions and images are given by formulas that both sides evaluate.

    python3 tests/stored.py > tests/stored.json"""
import json, math
import torch, torch.nn.functional as F
from reference_net import ResNet

torch.set_grad_enabled(False)
torch.set_default_dtype(torch.float64)


def wave(count, pace, phase):
    """Numbers in [-1, 1] that any language makes alike: sin(phase + pace * i), rounded to single precision."""
    return torch.tensor([math.sin(phase + pace * i) for i in range(count)]).float().double()


DEPTH, WIDTH, SIZE, CHANNELS, IMAGES = 14, 5, 9, 3, 37
POINTS = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.7, -0.3), (-0.5, 0.25), (-1.0, -1.0)]
found = []
for skip in (True, False):
    net = ResNet(DEPTH, WIDTH, skip, CHANNELS, 10).double().eval()
    params = list(net.parameters())
    starts, at = [], 0
    for p in params:
        starts.append(at)
        at += p.numel()
    theta = wave(at, 0.7, 0.1)
    directions = [wave(at, 1.3, 0.2) * 0.05, wave(at, 0.9, 0.5) * 0.05]
    for p, s in zip(params, starts):
        part = theta[s:s + p.numel()].view(p.shape)
        # Of a size that keeps activations near 1; batch-norm weights around 1.
        p.copy_(part * math.sqrt(2.0 / (p.numel() / p.shape[0])) if p.dim() > 1 else 1.0 + 0.1 * part)
    offset = 0
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    total = sum(m.num_features for m in norms)
    statistics = wave(2 * total, 0.37, 0.3)
    for m in norms:
        m.running_mean.copy_(0.1 * statistics[offset:offset + m.num_features])
        m.running_var.copy_(1.0 + 0.5 * statistics[total + offset:total + offset + m.num_features])
        offset += m.num_features
    images = wave(IMAGES * CHANNELS * SIZE * SIZE, 0.11, 0.7).view(IMAGES, CHANNELS, SIZE, SIZE)
    labels = torch.tensor([(7 * i + 3) % 10 for i in range(IMAGES)])
    center = [p.clone() for p in params]
    for a, b in POINTS:
        for p, w, s in zip(params, center, starts):
            dx, dy = (d[s:s + p.numel()].view(p.shape) if p.dim() > 1 else 0.0 for d in directions)
            p.copy_(w + a * dx + b * dy)
        logits = net(images)
        found.append({"skip": skip, "a": a, "b": b, "loss": F.cross_entropy(logits, labels).item(),
                      "acc": (logits.argmax(1) == labels).double().mean().item()})
print(json.dumps({"depth": DEPTH, "width": WIDTH, "size": SIZE, "channels": CHANNELS, "images": IMAGES, "points": found},
                 indent=1))
