"""A network's weights as people save them: python3 reference_state_dicts.py ARM WEIGHTS FOLDER.

ARM is an [[arm]] of run.toml as JSON, WEIGHTS a state dict of landscope's (loaded with strict=True). Writes one file a way
into FOLDER; those called no-* hold what is no state dict."""
import copy, json, os, pathlib, sys
import torch
from safetensors.torch import load_file, save_file
from reference_net import network

arm, weights, folder = json.loads(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
net = network(arm, (1, 16, 16), 10)
net.load_state_dict(load_file(weights), strict=True)
state = net.state_dict()


class Call:
    def __reduce__(self):
        return os.system, (f"touch {folder / 'trace'}",)


def safe(name, tensors):
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / f"{name}.safetensors")


def pickled(name, value, **options):
    torch.save(value, folder / name, **options)


safe("compiled", torch.compile(net).state_dict())
safe("parallel", torch.nn.DataParallel(net).state_dict())
safe("both", torch.nn.DataParallel(torch.compile(net)).state_dict())
safe("uncounted", {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")})
torchvision = {key.replace("shortcut", "downsample").replace("linear", "fc"): value for key, value in state.items()}
safe("torchvision", torchvision)
for name in ("half", "bfloat16", "double"):
    other = getattr(copy.deepcopy(net), name)().state_dict()
    safe(name, other)
    pickled(f"{name}.pt", other)
pickled("plain.pt", state)
pickled("compiled.pth", torch.compile(net).state_dict())
pickled("protocol4.pt", state, pickle_protocol=4)
pickled("pytorch_model.bin", {key: torch.nn.Parameter(value, requires_grad=value.is_floating_point()) for key, value in state.items()})
# Momentum and a schedule beside it, as a loop that can be resumed saves them.
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
net(torch.zeros(2, 1, 16, 16)).sum().backward()
optimizer.step()
net.load_state_dict(load_file(weights), strict=True)
beside = {"epoch": 3, "best": 0.5, "optimizer": optimizer.state_dict(), "shape": torch.zeros(1).shape}
for key in ("state_dict", "model", "model_state_dict"):
    pickled(f"{key}.pt", beside | {key: net.state_dict()})
pickled("channels_last.pt", copy.deepcopy(net).to(memory_format=torch.channels_last).state_dict())
flat = torch.cat([torch.full((5,), torch.nan)] + [value.flatten() for value in state.values() if value.is_floating_point()])
views, start = {}, 5
for key, value in state.items():
    if value.is_floating_point():
        views[key] = flat[start:start + value.numel()].view(value.shape)
        start += value.numel()
pickled("one_storage.pt", views)
turned = {key: value.permute(tuple(reversed(range(value.dim())))) for key, value in state.items()}
turned = {key: value.contiguous().permute(tuple(reversed(range(value.dim())))) for key, value in turned.items()}
pickled("turned.pt", turned)
pickled("no-module.pt", net)
pickled("no-legacy.pt", state, _use_new_zipfile_serialization=False)
pickled("no-call.pt", {"state_dict": state, "call": Call()})
pickled("no-list.pt", list(state.values()))
