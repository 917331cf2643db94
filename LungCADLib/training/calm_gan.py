"""More nodules than there are, for CALM: a WGAN-GP that learned from the nodules of the training patients.

Paper 003 (section 6) adds one half again as many pictures of each kind, though its generator learned from nodules
alone. Generated pictures are of the positive kind only here; the negatives that balance them are real.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.training.calm_material import COPIES, Material
from LungCADLib.training.gan import GanRecipe, generate, train_gan

RATE = 0.5
"""Generated pictures for each real one (paper 003, section 6)."""

STEPS, WIDTH = 700, 32
"""Of the generator. Half the usual width is a quarter of the work: four minutes on one core."""


def recipe(material: Material, seed: int, steps: int = STEPS, width: int = WIDTH) -> GanRecipe:
    """Of a generator of pictures like the positives of a material, and like their copies."""
    positives = replace(material.only(material.positive), generated=material.generated[:0])
    seen = positives.examples(seed)[0][:, 0].numpy() * 2 - 1
    return GanRecipe(seen, steps, width, settings={"shift": material.shift, "turned": material.turned})


def enlarged(
    material: Material,
    rate: float,
    folder: Path,
    seed: int,
    device: str = "cpu",
    steps: int = STEPS,
    step_done: Callable[[int, int], None] = lambda done, of: None,
) -> Material:
    """The material with generated pictures: `rate` for each of its positives and their copies.

    The generator learns from the positives; its checkpoints lie in the folder.
    """
    generator = train_gan(recipe(material, seed, steps), folder, seed, device, step_done)
    count = round(rate * int(material.positive.sum()) * (1 + COPIES))
    made: NDArray[np.float32] = (generate(generator, count, seed)[:, None] + np.float32(1)) / np.float32(2)
    return material.more(made, seed)
