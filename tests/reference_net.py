"""The CIFAR ResNet of the usual names, in plain PyTorch."""
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
