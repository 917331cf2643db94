"""Phantoms as different as patients and scanners are: nodules of every size, density and place, in any usual scan."""

from collections.abc import Callable
from typing import Any

import numpy as np

from LungCADLib.phantom.make import Phantom, make_phantom
from LungCADLib.phantom.nodules import NoduleSpec
from LungCADLib.phantom.sample import ATTACHMENT_SHARES, sample_nodules
from LungCADLib.study import Calcification, Density

COUNT = (3, 8)
DIAMETER_MM = (4.0, 30.0)
"""Longest axis; every size is as frequent on a logarithmic scale."""

KINDS: dict[Density, tuple[float, tuple[float, float]]] = {
    "solid": (0.45, (-20, 80)),
    "part-solid": (0.2, (-650, -450)),
    "non-solid": (0.25, (-680, -450)),
    "calcified": (0.1, (20, 60)),
}
"""Share of each density, and HU of the main tissue."""

CALCIUM: tuple[Calcification, ...] = ("central", "diffuse", "laminated", "popcorn")
RAYS_FROM_MM, RAYS_SHARE = 7.0, 0.25
BUMPS_FROM_MM, BUMPS_SHARE = 6.0, 0.4
ROUNDNESS = (0.72, 1.0)
SOLID_CORE = (0.3, 0.7)

SLICES_MM = (1.0, 1.25, 2.0, 2.5, 3.0)
THICKNESS = (1.0, 1.0, 1.5)
"""Slice thickness over spacing."""

PIXELS_MM = (0.65, 1.0)
NOISE_HU = (8.0, 35.0)
CONTRAST_SHARE = 0.3
EXTENT_MM = (300.0, 288.0, 360.0)
TRIES = 10


def varied_phantom(seed: int, draw: Callable[[np.random.Generator], list[NoduleSpec]] | None = None) -> Phantom:
    """A phantom with 3 to 8 nodules of 4 to 30 mm; the same seed gives the same voxels.

    `draw` is `varied_nodules` or `usual_nodules`; None is the former.
    """
    rng = np.random.default_rng(seed)
    scanner = _scanner(rng)
    draw = draw or varied_nodules
    for _ in range(TRIES - 1):
        try:
            return make_phantom(seed, nodules=draw(rng), extent_mm=EXTENT_MM, **scanner)
        except ValueError:
            # Several large nodules do not always find room; others are drawn.
            continue
    return make_phantom(seed, nodules=draw(rng), extent_mm=EXTENT_MM, **scanner)


def usual_nodules(rng: np.random.Generator) -> list[NoduleSpec]:
    """3 to 8 nodules whose size, density and spiculation are as frequent as LIDC's readers rated them."""
    return sample_nodules(rng, int(rng.integers(COUNT[0], COUNT[1] + 1)))


def varied_nodules(rng: np.random.Generator) -> list[NoduleSpec]:
    """3 to 8 nodules, every size and density often."""
    return [_nodule(rng) for _ in range(int(rng.integers(COUNT[0], COUNT[1] + 1)))]


def _nodule(rng: np.random.Generator) -> NoduleSpec:
    size = float(np.exp(rng.uniform(*np.log(DIAMETER_MM))))
    second, third = (size * float(ratio) for ratio in rng.uniform(*ROUNDNESS, 2))
    densities = list(KINDS)
    density = densities[int(rng.choice(len(densities), p=[share for share, _ in KINDS.values()]))]
    places = list(ATTACHMENT_SHARES)
    return NoduleSpec(
        (size, second, third),
        density,
        places[int(rng.choice(len(places), p=list(ATTACHMENT_SHARES.values())))],
        calcification=CALCIUM[int(rng.integers(len(CALCIUM)))] if density == "calcified" else "none",
        spiculated=bool(density in ("solid", "part-solid") and size >= RAYS_FROM_MM and rng.random() < RAYS_SHARE),
        lobulated=bool(size >= BUMPS_FROM_MM and rng.random() < BUMPS_SHARE),
        solid_core=float(rng.uniform(*SOLID_CORE)),
        hu=float(rng.uniform(*KINDS[density][1])),
    )


def _scanner(rng: np.random.Generator) -> dict[str, Any]:
    slice_mm, pixel_mm = float(rng.choice(SLICES_MM)), float(rng.uniform(*PIXELS_MM))
    return {
        "spacing": (slice_mm, pixel_mm, pixel_mm),
        "slice_thickness_mm": slice_mm * float(rng.choice(THICKNESS)),
        "kernel": str(rng.choice(("soft", "sharp"))),
        "noise_hu": float(rng.uniform(*NOISE_HU)),
        "contrast": bool(rng.random() < CONTRAST_SHARE),
    }
