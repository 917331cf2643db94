"""The network that looks for nodules slice by slice: a U-Net with a contracting and a symmetric expanding path.

The layers are Ronneberger's (MICCAI 2015) with what Pugliese's talk (DeepLearn 2017, Bilbao) says of them: the way up
repeats rows and columns (nearest neighbor), and dropout takes whole feature maps (Tompson et al., CVPR 2015). Unlike
in 2015, convolutions are padded and followed by batch normalization, so that the answer is as large as the slice.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

WIDTHS = (16, 32, 64, 96)
"""Features at full resolution and after each halving."""

DROPPED = 0.1
"""Share of the feature maps that training drops between the two convolutions of a block."""

RARE = -4.0
"""The logit an untrained network starts from: few pixels are of a nodule (Lin et al., ICCV 2017, section 4.1)."""

WINDOW_HU = (-1000.0, 400.0)


def multiple(widths: Sequence[int] = WIDTHS) -> int:
    """What height and width of a slice must divide by."""
    return 1 << (len(widths) - 1)


def slice_unet(widths: Sequence[int] = WIDTHS) -> "nn.Module":
    """An untrained network.

    It takes slices in HU (n, y, x) and gives a logit per pixel (n, y, x). Height and width must divide by
    `multiple(widths)`.

    Parameters
    ----------
    widths
        Features per level.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    low, high = WINDOW_HU

    class SliceUNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.contracting = nn.ModuleList(_block(a, b) for a, b in pairwise((1, *widths)))
            self.expanding = nn.ModuleList(_block(a + b, a) for b, a in pairwise(widths[::-1]))
            self.answer = nn.Conv2d(widths[0], 1, 1)
            nn.init.constant_(self.answer.bias, RARE)  # type: ignore[arg-type]

        def forward(self, hu: "Tensor") -> "Tensor":
            x = ((hu.float().clamp(low, high) - low) * (2 / (high - low)) - 1)[:, None]
            x = x.contiguous(memory_format=torch.channels_last)
            levels: list[Tensor] = []
            for down in self.contracting:
                x = down(functional.max_pool2d(x, 2) if levels else x)
                levels.append(x)
            for up, level in zip(self.expanding, levels[-2::-1], strict=True):
                x = up(torch.cat([level, functional.interpolate(x, scale_factor=2.0, mode="nearest")], dim=1))
            return self.answer(x)[:, 0]

    # Half the time of the usual order of weights, on a CPU.
    return SliceUNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _block(before: int, after: int) -> "nn.Sequential":
    """Two 3 x 3 convolutions, with spatial dropout between them."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.Dropout2d(DROPPED),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )
