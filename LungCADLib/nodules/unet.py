"""The network that outlines nodules: a U-Net over slices that look at the slices beside them.

Convolutions are factored: 3 x 3 within a slice, then 3 across slices, the latter added to what it mixes, so that a lone
slice passes unchanged. Volumes of different heights and lone slices stand one after the other in one stack of slices;
nothing is padded. Resolution falls within slices only, since
slices are two to five times as far apart as pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

WIDTHS = (16, 32, 64, 128)
"""Features at full resolution and after each halving."""

LEAK = 0.01


@dataclass(frozen=True, eq=False)
class Stack:
    """Where volumes begin and end in a stack of slices.

    Attributes
    ----------
    has_below, has_above
        1 for a slice whose neighbor in the stack is its neighbor in the volume, 0 elsewhere (n, 1, 1, 1).
    """

    has_below: "Tensor"
    has_above: "Tensor"

    @staticmethod
    def of(heights: Sequence[int], device: str = "cpu") -> "Stack":
        """Volumes of so many slices, one after the other."""
        import torch

        below = torch.cat([torch.arange(n) > 0 for n in heights])
        above = torch.cat([torch.arange(n) < n - 1 for n in heights])
        return Stack(*(has.float()[:, None, None, None].to(device) for has in (below, above)))


def slice_unet(channels: int, widths: Sequence[int] = WIDTHS) -> "nn.Module":
    """An untrained network.

    It takes n slices float32 (n, channels, y, x) and their `Stack`, and gives a logit per pixel (n, y, x). Height and
    width must divide by 2 ** (levels - 1).

    Parameters
    ----------
    channels
        Of the input.
    widths
        Features per level.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    block = _block_class()

    class SliceUNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            inputs = (channels, *widths[:-1])
            self.down = nn.ModuleList(block(a, b, k > 0) for k, (a, b) in enumerate(zip(inputs, widths, strict=True)))
            self.up = nn.ModuleList(block(a + b, a, True) for a, b in zip(widths[-2::-1], widths[:0:-1], strict=True))
            self.out = nn.Conv2d(widths[0], 1, 1)

        def forward(self, x: "Tensor", stack: Stack) -> "Tensor":
            x = x.contiguous(memory_format=torch.channels_last)
            levels: list[Tensor] = []
            for down in self.down:
                x = down(functional.max_pool2d(x, 2) if levels else x, stack)
                levels.append(x)
            for up, level in zip(self.up, levels[-2::-1], strict=True):
                x = up(torch.cat([level, functional.interpolate(x, scale_factor=2.0, mode="nearest")], dim=1), stack)
            return self.out(x)[:, 0]

    return SliceUNet()


def _block_class() -> "type[nn.Module]":
    from torch import nn
    from torch.nn import functional

    class Across(nn.Module):
        """Adds what the slices below and above say."""

        def __init__(self, features: int) -> None:
            super().__init__()
            self.mix = nn.Conv2d(features, 2 * features, 1, bias=False)

        def forward(self, x: "Tensor", stack: Stack) -> "Tensor":
            up, down = self.mix(x).chunk(2, dim=1)
            below, above = stack.has_below.to(up.dtype), stack.has_above.to(up.dtype)
            return x + up.roll(1, 0) * below + down.roll(-1, 0) * above

    class Block(nn.Module):
        """Two convolutions within slices, one across slices between them."""

        def __init__(self, before: int, features: int, across: bool) -> None:
            super().__init__()
            self.first = nn.Conv2d(before, features, 3, padding=1, bias=False)
            self.first_norm = nn.BatchNorm2d(features)
            self.across = Across(features) if across else None
            self.second = nn.Conv2d(features, features, 3, padding=1, bias=False)
            self.second_norm = nn.BatchNorm2d(features)

        def forward(self, x: "Tensor", stack: Stack) -> "Tensor":
            x = functional.leaky_relu(self.first_norm(self.first(x)), LEAK)
            if self.across is not None:
                x = self.across(x, stack)
            return functional.leaky_relu(self.second_norm(self.second(x)), LEAK)

    return Block
