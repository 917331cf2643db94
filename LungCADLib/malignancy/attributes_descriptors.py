"""A nodule's form, and how HU change from its middle to its surroundings, as numbers from a view with its outline.

Networks learn these slowly from a few thousand nodules; given them, they learn what is left.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

DIRECTIONS = 32
"""In which an outline's reach is measured; even."""

FORMS = 10
SHELLS = 8
SHELL_NUMBERS = 6
DESCRIPTORS = FORMS + SHELLS * SHELL_NUMBERS

LEAST = 1e-6
"""Under square roots, and where empty shells would be divided by."""


def describe(views: "Tensor") -> "Tensor":
    """Numbers (n, `DESCRIPTORS`) of views (n, channels, y, x) as `attributes_views.windowed` gives them."""
    import torch

    return torch.cat([forms(views[:, 2]), shell_numbers(views, shells(views[:, 2:3]))], dim=1)


def forms(outline: "Tensor") -> "Tensor":
    """Numbers of form (n, `FORMS`) of an outline (n, y, x) of 0 to 1.

    Logarithms of the area and of the second moments along and across; short over long axis; circularity; area over that
    of the ellipse with the same moments; the perimeter of the convex hull (mean width times pi, Cauchy) over the
    outline's own; area over that of the disk with the hull's perimeter; least over greatest width; perimeter over the
    root of the area.
    """
    import torch

    _, height, width = outline.shape
    y = torch.arange(height, dtype=torch.float32, device=outline.device)[:, None] - (height - 1) / 2
    x = torch.arange(width, dtype=torch.float32, device=outline.device)[None] - (width - 1) / 2
    area = outline.sum(dim=(1, 2)).clamp_min(1.0)

    def mean(values: "Tensor") -> "Tensor":
        return (outline * values).sum(dim=(1, 2)) / area

    my, mx = mean(y), mean(x)
    # A twelfth is the second moment of one pixel.
    yy, xx, xy = mean(y**2) - my**2 + 1 / 12, mean(x**2) - mx**2 + 1 / 12, mean(y * x) - my * mx
    half, apart = (yy + xx) / 2, (((yy - xx) / 2) ** 2 + xy**2).sqrt()
    long, short = (half + apart).clamp_min(1 / 12), (half - apart).clamp_min(1 / 12)
    perimeter = _edges(outline[:, None])[:, 0].sum(dim=(1, 2)).clamp_min(1.0)

    angle = torch.arange(DIRECTIONS, device=outline.device) * (2 * torch.pi / DIRECTIONS)
    along = angle.sin()[:, None, None] * y + angle.cos()[:, None, None] * x
    reach = torch.where(outline[:, None] > 0.5, along, -torch.inf).flatten(2).amax(dim=2)
    reach = torch.where(reach.isfinite(), reach, 0.0)
    widths = reach[:, : DIRECTIONS // 2] + reach[:, DIRECTIONS // 2 :] + 1
    hull = widths.mean(dim=1) * torch.pi
    return torch.stack(
        [
            area.log(),
            long.log(),
            short.log(),
            (short / long).sqrt(),
            4 * torch.pi * area / perimeter**2,
            area / (4 * torch.pi * (long * short).sqrt()),
            hull / perimeter,
            4 * torch.pi * area / hull**2,
            widths.amin(dim=1) / widths.amax(dim=1),
            perimeter / area.sqrt(),
        ],
        dim=1,
    )


def shells(outline: "Tensor") -> "Tensor":
    """Outlines (n, 1, y, x) of 0 to 1 as (n, `SHELLS`, y, x): whole, two shells inside and the rest, four outside.

    Shells are one pixel wide, the last two outside two and four.
    """
    import torch

    grown, inverse = [outline], [1 - outline]
    for step in range(8):
        grown.append(_grown(grown[-1], step))
    for step in range(2):
        inverse.append(_grown(inverse[-1], step))
    parts = [outline, inverse[1] - inverse[0], inverse[2] - inverse[1], 1 - inverse[2]]
    parts += [grown[b] - grown[a] for a, b in ((0, 1), (1, 2), (2, 4), (4, 8))]
    return torch.cat(parts, dim=1)


def _grown(x: "Tensor", step: int) -> "Tensor":
    """By one pixel, along the axes and with the diagonals by turns: together an octagon."""
    import torch
    from torch.nn import functional

    if step % 2:
        return functional.max_pool2d(x, 3, 1, 1)
    return torch.maximum(functional.max_pool2d(x, (3, 1), 1, (1, 0)), functional.max_pool2d(x, (1, 3), 1, (0, 1)))


def shell_numbers(views: "Tensor", parts: "Tensor") -> "Tensor":
    """Of each part (n, p, y, x) of views: (n, p * `SHELL_NUMBERS`).

    Mean in both windows, SD in the first; mean and SD of its slope, which is steep where a margin is sharp; and the
    mean of its structures thinner than three pixels, such as spicules and vessels.
    """
    import torch
    from torch.nn import functional

    lung, soft = views[:, 0:1], views[:, 1:2]
    slope = _edges(lung)
    opened = -functional.max_pool2d(-lung, 3, 1, 1)
    thin = lung - functional.max_pool2d(opened, 3, 1, 1)
    weight = parts.flatten(2) / parts.sum(dim=(2, 3)).clamp_min(1.0)[:, :, None]
    images = torch.cat([lung, soft, lung**2, slope, slope**2, thin], dim=1)
    mean, soft_mean, square, slope_mean, slope_square, thin_mean = torch.einsum(
        "ncx,npx->cnp", images.flatten(2), weight
    )
    sd, slope_sd = ((s - m**2).clamp_min(LEAST).sqrt() for s, m in ((square, mean), (slope_square, slope_mean)))
    return torch.cat([mean, soft_mean, sd, slope_mean, slope_sd, thin_mean], dim=1)


def _edges(images: "Tensor") -> "Tensor":
    """Length of the gradient per pixel of images (n, c, y, x)."""
    import torch

    gy, gx = torch.gradient(images, dim=(2, 3))
    return (gy**2 + gx**2).sqrt()
