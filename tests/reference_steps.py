"""Steps of gradient descent once more, in plain PyTorch: python3 reference_steps.py ARM START STEPS END LR.

ARM is an [[arm]] of run.toml as JSON. The weights START (loaded with strict=True) are trained on the batches images.N and
labels.N of STEPS, a safetensors file that also has landscope's loss.N, logits of the first batch in evaluation mode, and
gradient.NAME of the first step. Prints how far landscope is off, relative to PyTorch's own norms: losses, logits, gradients
of what has more than one dimension, all gradients beside the whole one, and every tensor of END, the state after all steps."""
import json, sys
import torch
from safetensors.torch import load_file
from reference_net import network

arm, start, steps, end, lr = json.loads(sys.argv[1]), *map(load_file, sys.argv[2:5]), float(sys.argv[5])
net = network(arm, steps["images.0"].shape[1:], 10)
net.load_state_dict(start, strict=True)


def off(found, wanted, size=None):
    return ((found.double() - wanted.double()).norm() / (wanted.double().norm() if size is None else size)).item()


net.eval()
with torch.no_grad():
    worst = {"logits": off(steps["logits"], net(steps["images.0"]))}
net.train()
losses, count = [], sum(name.startswith("images.") for name in steps)
for i in range(count):
    net.zero_grad()
    loss = torch.nn.functional.cross_entropy(net(steps[f"images.{i}"]), steps[f"labels.{i}"])
    loss.backward()
    losses.append(off(steps[f"loss.{i}"], loss.detach()))
    if i == 0:
        pairs = [(steps[f"gradient.{name}"], p.grad) for name, p in net.named_parameters()]
        whole = sum(g.double().square().sum() for _, g in pairs).sqrt()
        worst["gradients"] = max(off(found, g) for found, g in pairs if g.dim() > 1)
        worst["beside_the_whole"] = max(off(found, g, whole) for found, g in pairs)
    with torch.no_grad():
        for p in net.parameters():
            p -= lr * p.grad
worst["losses"] = max(losses)
state = net.state_dict()
assert state.keys() == end.keys()
assert all(end[name] == count for name in end if name.endswith("num_batches_tracked"))
# Biases of convs stay near zero, as rounding moves them: beside 1, the size of what they are added to.
worst["end"] = max(off(end[name], t, t.double().norm().clamp(min=1.0)) for name, t in state.items())
print(json.dumps(worst | {"steps": count}))
