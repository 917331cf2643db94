"""The pixels of a stack on one regular grid: repeats dropped, tilt sheared out, gaps interpolated."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.readers.headers import Frame
from LungCADLib.readers.pixels import decode
from LungCADLib.readers.stack import Stack, slices_word
from LungCADLib.scan import AIR_HU, Geometry


def build(stack: Stack, moved: Callable[[float], None]) -> tuple[NDArray[np.int16], Geometry, tuple[str, ...]]:
    """The stack's voxels on one regular grid.

    Parameters
    ----------
    stack
        What `arrange` made.
    moved
        Told the fraction done, 0 to 1.

    Returns
    -------
    hu, geometry, warnings
        int16 (k, j, i) in the slices' own directions, its grid, and what happened to the data.
    """
    warnings = [*stack.warnings, *_ignored_repeats(stack)]
    count = len(stack.frames)
    volume = np.full((count, *stack.shape), AIR_HU, np.int16)
    slices = decode(list(stack.frames), lambda done: moved(done / count))
    for k, (frame, hu) in enumerate(zip(stack.frames, slices, strict=True)):
        if hu.shape != (frame.rows, frame.columns):
            raise InputError(f"{frame.file} holds {hu.shape} pixels where its header says {frame.rows, frame.columns}.")
        if stack.upright:
            volume[k] = hu
        else:
            volume[k] = _shifted(hu, stack.shifts[k], stack.shape)
    step = float(stack.places[-1] - stack.places[0]) / (count - 1)
    if not stack.even:
        volume = _resliced(volume, stack.places, stack.even_step)
        step = stack.even_step
    geometry = Geometry(
        shape=volume.shape,
        spacing=(step, *stack.spacing),
        origin=stack.origin,
        direction=stack.direction,
    )
    return volume, geometry, tuple(warnings)


def same_pixels(frames: tuple[Frame, ...]) -> bool:
    """Whether the frames hold the same HU."""
    first, *others = (next(decode([frame])) for frame in frames)
    return all(np.array_equal(first, other) for other in others)


def refuse_4d(stack: Stack) -> None:
    """Refuse a stack in which half of the places or more hold several different pictures.

    Raises
    ------
    InputError
        As `arrange`.
    """
    if 2 * len(stack.repeated) >= len(stack.frames) and not same_pixels(stack.repeated[len(stack.repeated) // 2]):
        most = max(len(group) for group in stack.repeated)
        raise InputError(
            f"it holds {most} different images at the same position (4D, or several reconstructions in one series); "
            "export one volume by itself"
        )


def _ignored_repeats(stack: Stack) -> list[str]:
    if not stack.repeated:
        return []
    extra = sum(len(group) - 1 for group in stack.repeated)
    return [
        f"{slices_word(extra)} at a position already taken were ignored (such as {stack.repeated[0][1].file.name})."
    ]


def _shifted(hu: NDArray[np.int16], shift: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.int16]:
    """The slice moved down and right by a fractional shift (rows, columns) in pixels, linear, air around it."""
    whole = np.floor(shift + 1e-6).astype(int)
    part = np.clip(shift - whole, 0, 1)
    values = hu.astype(np.float32)
    for axis in (0, 1):
        if part[axis] > 1e-3:
            values = np.pad(values, [(0, int(axis == 0)), (0, int(axis == 1))], constant_values=AIR_HU)
            values = (1 - part[axis]) * values + part[axis] * np.roll(values, 1, axis)
    out = np.full(shape, AIR_HU, np.int16)
    rows = min(values.shape[0], shape[0] - whole[0])
    columns = min(values.shape[1], shape[1] - whole[1])
    out[whole[0] : whole[0] + rows, whole[1] : whole[1] + columns] = np.rint(values[:rows, :columns])
    return out


def _resliced(volume: NDArray[np.int16], places: NDArray[np.float64], step: float) -> NDArray[np.int16]:
    """The volume at even places from the first to the last, linear between the two nearest slices."""
    count = round((places[-1] - places[0]) / step) + 1
    wanted = places[0] + step * np.arange(count)
    below = np.clip(np.searchsorted(places, wanted, side="right") - 1, 0, len(places) - 2)
    part = np.clip((wanted - places[below]) / (places[below + 1] - places[below]), 0, 1).astype(np.float32)
    out = np.empty((count, *volume.shape[1:]), np.int16)
    for k, (low, weight) in enumerate(zip(below, part, strict=True)):
        out[k] = np.rint((1 - weight) * volume[low] + weight * volume[low + 1])
    return out
