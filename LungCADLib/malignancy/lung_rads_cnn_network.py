"""The networks of the Lung-RADS slice set: a U-Net that outlines, and a CNN that classifies what was outlined.

The pipeline of "Lung Cancer Segmentation" (AlAthari, Chen, Desai and Singh, Deep Neural Networks final project, 2024):
scan, segmentation network, segmented image, classification network; and a CNN from scratch as the baseline, which
looks at the whole image. The U-Net's encoder is MobileNetV2 (Sandler et al., CVPR 2018, table 2), module for module
and name for name as torchvision lays out its weights, so that a file of those can be loaded as it is.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from LungCADLib.errors import InputError

WINDOWS = 3
"""Channels of an image that are windows of HU, as many as an ImageNet encoder has colors; one more says what is known.
"""

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of MobileNetV2's bottlenecks (Sandler et al., table 2)."""

STEM = 32
DIVISOR = 8
"""Channels are multiples of this at every width, as the authors' and torchvision's code round them."""

SKIPS = (1, 3, 6, 13, 17)
"""Modules of `features` whose output is the last at its resolution: 1/2, 1/4, 1/8, 1/16 and 1/32."""

DECODER = (64, 32, 24, 16)
"""Channels of the decoder at 1/16, 1/8, 1/4 and 1/2, at width one half; they grow with the width."""

CLASSIFIER = (16, 32, 64)
DROPPED = 0.3


class Answer(NamedTuple):
    """Log odds of the outline (n, 1, y, x), and logits (n, classes) of the segmented and of the whole image."""

    outline: Tensor
    segmented: Tensor
    whole: Tensor


def channels_at(channels: int, width: float) -> int:
    """Channels of a layer at a width: a multiple of `DIVISOR`, never less than nine tenths of what was asked for."""
    wanted = channels * width
    rounded = max(DIVISOR, int(wanted + DIVISOR / 2) // DIVISOR * DIVISOR)
    return rounded if rounded >= 0.9 * wanted else rounded + DIVISOR


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, normalization, ReLU6."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """Expand, filter each channel by itself, project; added to its input where the shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [_convolution(inputs, inner, 1)]
        layers += [_convolution(inner, inner, 3, stride, inner), nn.Conv2d(inner, outputs, 1, bias=False)]
        self.conv = nn.Sequential(*layers, nn.BatchNorm2d(outputs))
        self.added = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.added else out


class MobileUNet(nn.Module):
    """From images (n, `WINDOWS`, y, x), sides multiples of 32, to log odds of the outline (n, 1, y, x)."""

    def __init__(self, width: float) -> None:
        super().__init__()
        inputs = channels_at(STEM, width)
        blocks: list[nn.Module] = [_convolution(WINDOWS, inputs, 3, 2)]
        for expansion, channels, count, stride in STAGES:
            outputs = channels_at(channels, width)
            for i in range(count):
                blocks.append(InvertedResidual(inputs, outputs, stride if i == 0 else 1, expansion))
                inputs = outputs
        self.features = nn.Sequential(*blocks)
        skips = [channels_at(c, width) for c in (16, 24, 32, 96, 320)]
        up = [channels_at(c, 2 * width) for c in DECODER]
        joined = zip([skips[-1], *up[:-1]], reversed(skips[:-1]), up, strict=True)
        self.up = nn.ModuleList(_joining(below + skip, after) for below, skip, after in joined)
        self.outline = nn.Conv2d(up[-1], 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        levels = []
        for i, block in enumerate(self.features):
            x = block(x)
            if i in SKIPS:
                levels.append(x)
        for join, skip in zip(self.up, reversed(levels[:-1]), strict=True):
            x = join(torch.cat([interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
        out: Tensor = self.outline(interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False))
        return out


def _joining(inputs: int, outputs: int) -> nn.Sequential:
    """What follows where the decoder meets a skip: mix the channels, then filter each by itself."""
    return nn.Sequential(_convolution(inputs, outputs, 1), _convolution(outputs, outputs, 3, groups=outputs))


class ImageClassifier(nn.Module):
    """A CNN from scratch: an image and where to look (n, 1, y, x), 0 to 1, to logits (n, classes).

    Its last features are averaged over where it looks, averaged over everything, and their maximum is taken; the
    logarithm of how much there is to look at stands beside them, since averages do not say how large a nodule is.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((WINDOWS, *CLASSIFIER[:-1]), CLASSIFIER, strict=True):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(*layers)
        features = 3 * CLASSIFIER[-1] + 1
        self.head = nn.Sequential(
            nn.Dropout(DROPPED),
            nn.Linear(features, CLASSIFIER[-1]),
            nn.ReLU(),
            nn.Dropout(DROPPED),
            nn.Linear(CLASSIFIER[-1], classes),
        )

    def forward(self, image: Tensor, where: Tensor) -> Tensor:
        x = self.layers(image)
        inside = adaptive_avg_pool2d(where, x.shape[2:])
        area = inside.sum(dim=(2, 3))
        looked = (x * inside).sum(dim=(2, 3)) / area.clamp_min(1.0)
        seen = torch.cat([looked, x.mean(dim=(2, 3)), x.amax(dim=(2, 3)), torch.log(area + 1.0)], dim=1)
        out: Tensor = self.head(seen)
        return out


class LungRadsNetwork(nn.Module):
    """From images (n, `WINDOWS` + 1, y, x), the windows from -1 to 1 and what is known, 0 or 1; sides multiples of 32.

    What is not outlined is as dark as air in the segmented image.
    """

    def __init__(self, classes: int, width: float) -> None:
        super().__init__()
        self.segment = MobileUNet(width)
        self.classify = ImageClassifier(classes)
        self.baseline = ImageClassifier(classes)

    def forward(self, images: Tensor) -> Answer:
        windows, known = images[:, :WINDOWS], images[:, WINDOWS:]
        outline = self.segment(windows)
        inside = outline.sigmoid() * known
        return Answer(outline, self.classify((windows + 1) * inside - 1, inside), self.baseline(windows, known))


def network_of(state: Mapping[str, Tensor]) -> LungRadsNetwork:
    """The network of a state dict, ready to be asked; its width and classes are those of the tensors."""
    stem = state["segment.features.0.0.weight"].shape[0]
    last = state["segment.features.17.conv.2.weight"].shape[0]
    width = next(w for w in WIDTHS if (channels_at(STEM, w), channels_at(320, w)) == (stem, last))
    network = LungRadsNetwork(state["classify.head.4.weight"].shape[0], width)
    network.load_state_dict(dict(state))
    return network.eval()


WIDTHS = (0.35, 0.5, 0.75, 1.0)
"""MobileNetV2's published widths up to the one that torchvision has weights of."""


def load_encoder(network: LungRadsNetwork, pretrained: Mapping[str, Tensor]) -> int:
    """Put torchvision's weights of MobileNetV2 into the encoder.

    Parameters
    ----------
    network
        Its width must be that of the weights; torchvision's are of width 1.
    pretrained
        A state dict as `torchvision.models.mobilenet_v2` has it. Its last convolution (`features.18`) and its
        classifier are of no use here and left out.

    Returns
    -------
    int
        How many tensors were taken.

    Raises
    ------
    InputError
        If a tensor is missing or of another shape.
    """
    wanted = network.segment.features.state_dict()
    taken = {}
    for name, tensor in wanted.items():
        found = pretrained.get(f"features.{name}")
        if found is None:
            raise InputError(
                f"The pretrained weights have no features.{name}; give a MobileNetV2 as torchvision saves it."
            )
        if found.shape != tensor.shape:
            raise InputError(
                f"The pretrained weights have features.{name} of shape {tuple(found.shape)}, but at this width it is "
                f"{tuple(tensor.shape)}; choose the width they were trained with (torchvision's: --width 1)."
            )
        taken[name] = found
    network.segment.features.load_state_dict(taken)
    return len(taken)
