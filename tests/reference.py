"""The networks once more, in plain PyTorch, to check landscope's files against: python3 reference.py RUN STEP IMAGES
[SURFACE...].

With SURFACE files of `landscope surface` it evaluates every computed point of each from the directions in it, statistics
frozen, of the batch, or interpolated as its attributes say, and prints a JSON line per file. Without:

Loads every ARM.safetensors of the step with strict=True, evaluates the test images, and evaluates the loss at every
point of the arm's surface file, by the reference method: eval mode, parameter by parameter w + x dx + y dy, statistics
as they are. IMAGES is a safetensors file with train_images, train_labels, test_images, test_labels. Prints one JSON
line per arm."""
import json, os, sys, tomllib
import h5py, numpy, torch
import torch.nn as nn, torch.nn.functional as F
from safetensors.torch import load_file
from reference_net import network


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def check_surface(path, arms, images):
    """Every computed point of a surface file, by the reference method."""
    with h5py.File(path) as f:
        about = {k: text(v) if not isinstance(v, numpy.ndarray) else v.tolist() for k, v in f.attrs.items()}
        net = network(next(a for a in arms if a["name"] == about["arm"]), images["train_images"].shape[1:], 10)
        state = load_file(about["checkpoint"])
        net.load_state_dict(state, strict=True)
        net.eval()
        split = about["split"]
        chosen = torch.from_numpy(f["image_index"][:])
        x, y = images[f"{split}_images"][chosen], images[f"{split}_labels"][chosen]
        params, center = list(net.parameters()), [p.clone() for p in net.parameters()]
        groups = [g for g in ("xdirection", "ydirection") if g in f]
        directions = [[torch.from_numpy(f[g][str(i)][:]) for i in range(len(params))] for g in groups]
        far = load_file(about["to"]) if "to" in about else None
        statistics = [(n, b) for n, b in net.named_buffers() if b.dtype.is_floating_point]
        if about["bn"] == "batch":
            net.train()
            for module in net.modules():
                if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                    module.momentum = 0.0
        xs, ys = f["xcoordinates"][:], f["ycoordinates"][:] if "ycoordinates" in f else [0.0]
        loss, acc = (f[f"{split}_{name}"][:].reshape(len(ys), len(xs)) for name in ("loss", "acc"))
        mask = f["computed"][:].reshape(len(ys), len(xs)) if "computed" in f else numpy.ones_like(loss)
        worst_loss = worst_acc = points = 0
        for r, b in enumerate(ys):
            for c, a in enumerate(xs):
                if not mask[r, c]:
                    continue
                for p, w, *d in zip(params, center, *directions):
                    p.copy_(w + sum(by * v for by, v in zip((a, b), d)))
                if far is not None:
                    for name, buffer in statistics:
                        buffer.copy_(state[name] + a * (far[name] - state[name]))
                logits = torch.cat([net(part) for part in x.split(128)])
                wanted = F.cross_entropy(logits.double(), y).item()
                right = (logits.argmax(1) == y).double().mean().item()
                assert numpy.isfinite(loss[r, c]) == numpy.isfinite(wanted), (r, c, loss[r, c], wanted)
                worst_loss = max(worst_loss, abs(loss[r, c] - wanted) / abs(wanted))
                worst_acc = max(worst_acc, abs(acc[r, c] - right))
                points += 1
    print(json.dumps({"file": os.path.basename(path), "points": points, "worst_loss": worst_loss,
                      "worst_acc": worst_acc, "images": len(chosen)}))


run, step, images = sys.argv[1], int(sys.argv[2]), load_file(sys.argv[3])
with open(os.path.join(run, "run.toml"), "rb") as file:
    arms = tomllib.load(file)["arm"]
torch.set_grad_enabled(False)
for path in sys.argv[4:]:
    check_surface(path, arms, images)
for arm in arms if len(sys.argv) < 5 else []:
    net = network(arm, images["train_images"].shape[1:], 10)
    state = load_file(os.path.join(run, f"step-{step:08}", f"{arm['name']}.safetensors"))
    net.load_state_dict(state, strict=True)
    net.eval()
    counts = [v for k, v in state.items() if k.endswith("num_batches_tracked")]
    assert counts and all(v.dtype == torch.int64 and v.shape == () for v in counts)
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
        attributes = {k: text(v) for k, v in f.attrs.items()}
    print(json.dumps({"arm": arm["name"], "test_err": wrong, "points": points, "worst_loss": worst_loss,
                      "worst_acc": worst_acc, "filter_lengths": lengths, "one_dimensional_still": still,
                      "attributes": attributes}))
