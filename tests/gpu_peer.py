"""PyTorch's side of tests/gpu.sh: python3 gpu_peer.py COMMAND DEVICE ...; results are JSON lines on stdout.

    name DEVICE                          what the device is
    load DEVICE ARMS STEP_FOLDER DATA    loads every arm's weights with strict=True and evaluates the test images
    memory DEVICE                        bytes in use on the device, by all processes; again for every line on stdin
    time DEVICE TASK CONTENDER IMAGES    prepares, says so, then runs a round of as many units as each line on stdin says;
                                         IMAGES are behind a point of a surface

Contenders stay alive between rounds, so that a network is compiled once and the rounds are still made in turn."""
import json, os, resource, statistics, struct, sys, time
import torch, torch.nn.functional as F
from reference_net import network

# Bytes of an image and its label in CIFAR-10's binary layout; mean and deviation by which landscope normalises it.
RECORD = 3073
MEAN, DEVIATION = [125.3, 123.0, 113.9], [63.0, 62.1, 66.7]
KINDS = {"F32": torch.float32, "I64": torch.int64}
# Training batch.
BATCH = 128
RESNET = {"family": "resnet", "depth": 56, "width": 16, "widen": 1}
TASKS = {
    "twin": [{**RESNET, "skip": True}, {**RESNET, "skip": False}],
    "vgg9": [{"family": "vgg9", "width": 64, "widen": 1}],
    "surface": [{**RESNET, "skip": True}],
}


def tell(**figures):
    print(json.dumps(figures), flush=True)


def read_safetensors(path):
    """A state dict, by the format's description: the machine need not have the safetensors package."""
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header, body = json.loads(file.read(size)), bytearray(file.read())
    tensors = {}
    for name, about in header.items():
        if name != "__metadata__":
            start, end = about["data_offsets"]
            tensors[name] = torch.frombuffer(body, dtype=KINDS[about["dtype"]], offset=start,
                                             count=(end - start) // KINDS[about["dtype"]].itemsize).view(about["shape"])
    return tensors


def load(device, arms, folder, data):
    with open(os.path.join(data, "test_batch.bin"), "rb") as file:
        records = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8).view(-1, RECORD)
    labels = records[:, 0].long().to(device)
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    images = ((records[:, 1:].reshape(-1, 3, 32, 32).float() - mean) / deviation).to(device)
    for arm in json.loads(arms):
        net = network(arm, images.shape[1:], 10)
        net.load_state_dict(read_safetensors(os.path.join(folder, arm["name"] + ".safetensors")), strict=True)
        net.eval().to(device)
        with torch.no_grad():
            logits = net(images)
        tell(arm=arm["name"], test_loss=F.cross_entropy(logits.double(), labels).item(),
             test_err=(logits.argmax(1) != labels).double().mean().item())


def captured(work):
    """`work` as one CUDA graph, after the warm-up that PyTorch asks for."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = work()

    def replay():
        graph.replay()
        return result
    return replay


def training(nets, contender, device):
    """A step of every network, one after the other, on one batch; every loss is read, as whoever trains does."""
    x = torch.randn(BATCH, 3, 32, 32, device=device)
    y = torch.randint(0, 10, (BATCH,), device=device)

    def trainer(net):
        optimizer = torch.optim.SGD(net.parameters(), 0.01, 0.9, weight_decay=5e-4, nesterov=True)
        forward = lambda: F.cross_entropy(net(x), y)
        if contender == "compile":
            forward = torch.compile(forward)

        def step():
            optimizer.zero_grad()
            loss = forward()
            loss.backward()
            optimizer.step()
            return loss.detach()
        return step
    steps = [trainer(net) for net in nets]
    twin = lambda: [step() for step in steps]
    run = captured(twin) if contender == "graph" else twin
    return lambda: [loss.item() for loss in run()]


def surface(net, contender, device, count):
    """A point of a surface, as the reference code has it: every parameter is made anew, then all images are evaluated."""
    net.eval()
    images = torch.randn(count, 3, 32, 32, device=device)
    labels = torch.randint(0, 10, (count,), device=device)
    # The reference code takes 128 at once. A GPU has room for all, which the faster contenders make use of.
    size = BATCH if contender.startswith("eager") else count
    batches = list(zip(images.split(size), labels.split(size)))
    params = list(net.parameters())
    for p in params:
        p.requires_grad_(False)
    center = [p.clone() for p in params]
    dx, dy = ([torch.randn_like(p) * 0.01 for p in params] for _ in range(2))
    at = torch.zeros(2, device=device)
    forward = torch.compile(net) if contender == "compile" else net

    @torch.no_grad()
    def point():
        for p, w, u, v in zip(params, center, dx, dy):
            p.copy_(w + at[0] * u + at[1] * v)
        return sum(F.cross_entropy(forward(x), y, reduction="sum") for x, y in batches)
    run = captured(point) if contender == "graph" else point
    done = 0

    def next_point():
        nonlocal done
        done += 1
        at.copy_(torch.tensor([0.001 * done, -0.001 * done]))
        return run().item()
    return next_point


def timed(device, task, contender, images):
    cuda = device.startswith("cuda")
    if contender.endswith("tf32"):
        torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(0)
    nets = [network(arm, (3, 32, 32), 10).to(device).train() for arm in TASKS[task]]
    begun = time.perf_counter()
    unit = surface(nets[0], contender, device, int(images)) if task == "surface" else training(nets, contender, device)
    # The second finds what the first has compiled and allocated.
    for _ in range(2):
        unit()
    tell(ready=time.perf_counter() - begun)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            unit()
            times.append((time.perf_counter() - start) * 1e3)
        peak = torch.cuda.max_memory_reserved() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        tell(ms=statistics.median(times), peak=peak)


def main():
    command, device, *more = sys.argv[1:]
    # landscope computes in single precision; a contender that may do less is told as such.
    torch.backends.cudnn.allow_tf32 = False
    if device != "cpu":
        torch.cuda.set_device(torch.device(device))
    if command == "name":
        about = {"name": "cpu", "torch": torch.__version__}
        if device != "cpu":
            about.update(name=torch.cuda.get_device_name(), cudnn=torch.backends.cudnn.version())
        tell(**about)
    elif command == "load":
        load(device, *more)
    elif command == "memory":
        while True:
            free, total = torch.cuda.mem_get_info()
            tell(used=total - free)
            if not sys.stdin.readline():
                break
    elif command == "time":
        timed(device, *more)


main()
