"""The CIFAR ResNet of the usual names and VGG-9 as two nn.Sequentials, in plain PyTorch."""
import torch.nn as nn, torch.nn.functional as F


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


class VGG9(nn.Module):
    def __init__(self, width, channels, size, classes):
        super().__init__()
        layers, inside, wide = [], channels, 4 * width
        for outside, convs in ((width, 2), (2 * width, 2), (wide, 3)):
            for _ in range(convs):
                layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU()]
                inside = outside
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(wide * (size // 8) ** 2, wide), nn.BatchNorm1d(wide), nn.ReLU(), nn.Linear(wide, classes))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def network(arm, shape, classes):
    """The network of an [[arm]] of run.toml for images of shape (channels, height, width)."""
    width = arm["width"] * arm["widen"]
    if arm["family"] == "vgg9":
        return VGG9(width, shape[0], shape[1], classes)
    return ResNet(arm["depth"], width, arm["skip"], shape[0], classes)
