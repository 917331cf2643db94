"""Which nodules a phantom gets: one of each kind for the demonstration, or drawn by LIDC's frequencies."""

import numpy as np

from LungCADLib.phantom.nodules import Attachment, NoduleSpec
from LungCADLib.study import Calcification, Density

DEMO_NODULES = [
    NoduleSpec((9.5, 8.0, 8.5)),
    NoduleSpec((19.0, 16.0, 15.0), spiculated=True, lobulated=True),
    NoduleSpec((16.0, 13.0, 14.0), density="part-solid", solid_core=0.5),
    NoduleSpec((12.0, 10.5, 11.0), density="non-solid"),
    NoduleSpec(6.5, density="calcified", calcification="diffuse"),
    NoduleSpec((10.0, 9.0, 8.0), attachment="juxtapleural"),
    NoduleSpec((8.0, 7.0, 7.5), attachment="juxtavascular"),
    NoduleSpec((15.0, 13.0, 14.0), density="fat-containing", lobulated=True),
    NoduleSpec(4.5),
]

DIAMETER_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
MAX_DIAMETER_MM = (4.0, 5.6, 7.0, 9.1, 13.5, 28.3, 30.0)
"""Maximum diameter of the LIDC-IDRI nodules that at least three readers outlined, slices up to 2.5 mm: 5th to 95th
percentile from its annotation database; the ends are cut at 4 and 30 mm."""

DENSITY_SHARES: dict[Density, float] = {"non-solid": 0.052, "part-solid": 0.075, "calcified": 0.112}
"""From the same annotations: texture 1-2, 3-4, and any calcification."""

FAT_SHARE = 0.01
SPICULATED_SHARE = 0.098
"""Spiculation 3 or more, same annotations. Fat, bumps and attachment are not rated there; their shares are ours."""

SPICULATED_FROM_MM, LOBULATED_FROM_MM, LOBULATED_SHARE = 7.0, 6.0, 0.3
ATTACHMENT_SHARES: dict[Attachment, float] = {"isolated": 0.60, "juxtapleural": 0.22, "juxtavascular": 0.18}
HAMARTOMA_FROM_MM = 9.0


def sample_nodules(rng: np.random.Generator, count: int) -> list[NoduleSpec]:
    """Draw nodules whose size, density and spiculation are as frequent as LIDC's readers rated them."""
    return [_draw(rng) for _ in range(count)]


def _draw(rng: np.random.Generator) -> NoduleSpec:
    size = float(np.interp(rng.uniform(1, 99), DIAMETER_PERCENTILES, MAX_DIAMETER_MM))
    shares: dict[Density, float] = {**DENSITY_SHARES, "fat-containing": FAT_SHARE}
    kinds: list[Density] = [*shares, "solid"]
    density = kinds[int(np.searchsorted(np.cumsum(list(shares.values())), rng.uniform()))]
    if density == "fat-containing":
        size = max(size, HAMARTOMA_FROM_MM)
    second, third = (float(size * ratio) for ratio in rng.uniform(0.72, 1.0, 2))
    calcium: list[Calcification] = ["central", "diffuse", "laminated", "popcorn"]
    places = list(ATTACHMENT_SHARES)
    # Small, calcified and ground-glass nodules have no rays; the others take their share.
    can_have_rays = density in ("solid", "part-solid") and size >= SPICULATED_FROM_MM
    rays_share = SPICULATED_SHARE / 0.61
    return NoduleSpec(
        (round(size, 2), round(second, 2), round(third, 2)),
        density,
        places[int(rng.choice(len(places), p=list(ATTACHMENT_SHARES.values())))],
        calcification=calcium[int(rng.integers(len(calcium)))] if density == "calcified" else "none",
        spiculated=bool(can_have_rays and rng.uniform() < rays_share),
        lobulated=bool(size >= LOBULATED_FROM_MM and rng.uniform() < LOBULATED_SHARE),
    )
