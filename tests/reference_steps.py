"""Steps of gradient descent once more, in plain PyTorch: python3 reference_steps.py ARM START STEPS END LR.

ARM is an [[arm]] of run.toml as JSON. The weights START (loaded with strict=True) are trained in double precision on the
batches images.N and labels.N of STEPS, a safetensors file that also has landscope's loss.N, gradient.N.NAME, and logits of the
first batch in evaluation mode; END is landscope's state after all steps. Prints how far landscope is off, relative to the
norm of the logits, of all losses, of the whole gradient at each step, and of the state."""
import json, sys
import torch
from safetensors.torch import load_file
from reference_net import network

arm, start, steps, end, lr = json.loads(sys.argv[1]), *map(load_file, sys.argv[2:5]), float(sys.argv[5])
count = sum(name.startswith("images.") for name in steps)


def off(pairs):
    found, wanted = (torch.cat([t.double().flatten() for t in side]) for side in zip(*pairs))
    return ((found - wanted).norm() / wanted.norm()).item()


net = network(arm, steps["images.0"].shape[1:], 10)
net.load_state_dict(start, strict=True)
net.double().eval()
with torch.no_grad():
    told = {"steps": count, "logits": off([(steps["logits"], net(steps["images.0"].double()))])}
net.train()
losses, told["gradients"] = [], []
for i in range(count):
    net.zero_grad()
    loss = torch.nn.functional.cross_entropy(net(steps[f"images.{i}"].double()), steps[f"labels.{i}"])
    loss.backward()
    losses.append((steps[f"loss.{i}"], loss.detach()))
    told["gradients"].append(off([(steps[f"gradient.{i}.{name}"], p.grad) for name, p in net.named_parameters()]))
    with torch.no_grad():
        for p in net.parameters():
            p -= lr * p.grad
state = net.state_dict()
assert state.keys() == end.keys()
print(json.dumps(told | {"losses": off(losses), "end": off([(end[name], t) for name, t in state.items()])}))
