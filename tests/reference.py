"""The networks once more, in plain PyTorch, to check landscope's files against: python3 reference.py RUN STEP IMAGES.

Loads every ARM.safetensors of the step with strict=True, evaluates the test images, and evaluates the loss at every
point of the arm's surface file, by the reference method: eval mode, parameter by parameter w + x dx + y dy, statistics
as they are. IMAGES is a safetensors file with train_images, train_labels, test_images, test_labels. Prints one JSON
line per arm."""
import json, os, sys, tomllib
import h5py, numpy, torch
import torch.nn as nn, torch.nn.functional as F
from safetensors.torch import load_file


class Block(nn.Module):
    def __init__(self, inside, outside, stride, skip):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.skip = skip
        if skip:
            change = [] if stride == 1 and inside == outside else [
                nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside)]
            self.shortcut = nn.Sequential(*change)

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + self.shortcut(x) if self.skip else out)


class ResNet(nn.Module):
    def __init__(self, depth, width, skip, channels, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inside = width
        for stage in (1, 2, 3):
            outside, blocks = width * 2 ** (stage - 1), []
            for j in range((depth - 2) // 6):
                blocks.append(Block(inside, outside, 2 if stage > 1 and j == 0 else 1, skip))
                inside = outside
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(inside, classes)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


run, step, images = sys.argv[1], int(sys.argv[2]), load_file(sys.argv[3])
with open(os.path.join(run, "run.toml"), "rb") as file:
    arms = tomllib.load(file)["arm"]
torch.set_grad_enabled(False)
for arm in arms:
    net = ResNet(arm["depth"], arm["width"] * arm["widen"], arm["skip"], images["train_images"].shape[1], 10)
    state = load_file(os.path.join(run, f"step-{step:08}", f"{arm['name']}.safetensors"))
    net.load_state_dict(state, strict=True)
    net.eval()
    kinds = {k: str(v.dtype) for k, v in state.items() if k.endswith("num_batches_tracked")}
    assert all(v == "torch.int64" for v in kinds.values()) and state["bn1.num_batches_tracked"].shape == ()
    wrong = (net(images["test_images"]).argmax(1) != images["test_labels"]).double().mean().item()

    with h5py.File(os.path.join(run, "surfaces", f"{step:08}-{arm['name']}.h5")) as f:
        chosen = torch.from_numpy(f["image_index"][:])
        x, y = images["train_images"][chosen], images["train_labels"][chosen]
        params = list(net.parameters())
        dx, dy = ([torch.from_numpy(f[g][str(i)][:]) for i in range(len(params))] for g in ("xdirection", "ydirection"))
        # Filter normalisation, by the file itself: each filter as long as the weights'; what has one dimension stays.
        lengths = max(((d.flatten(1).norm(dim=1) - w.flatten(1).norm(dim=1)).abs() / w.flatten(1).norm(dim=1)).max()
                      .item() for ds in (dx, dy) for d, w in zip(ds, params) if w.dim() > 1)
        still = all(d.abs().max() == 0 for ds in (dx, dy) for d, w in zip(ds, params) if w.dim() <= 1)
        center = [p.clone() for p in params]
        worst_loss = worst_acc = points = 0
        for r, b in enumerate(f["ycoordinates"][:]):
            for c, a in enumerate(f["xcoordinates"][:]):
                for p, w, u, v in zip(params, center, dx, dy):
                    p.copy_(w + a * u + b * v)
                logits = net(x)
                loss = F.cross_entropy(logits.double(), y).item()
                acc = (logits.argmax(1) == y).double().mean().item()
                found = f["train_loss"][r, c]
                assert numpy.isfinite(found) == numpy.isfinite(loss), (r, c, found, loss)
                worst_loss = max(worst_loss, abs(found - loss) / abs(loss))
                worst_acc = max(worst_acc, abs(f["train_acc"][r, c] - acc))
                points += 1
        attributes = {k: v.decode() if isinstance(v, bytes) else str(v) for k, v in f.attrs.items()}
    print(json.dumps({"arm": arm["name"], "test_err": wrong, "points": points, "worst_loss": worst_loss,
                      "worst_acc": worst_acc, "filter_lengths": lengths, "one_dimensional_still": still,
                      "attributes": attributes}))
