"""Loose frames put in order from their headers alone: sorted by position, repeats, tilt and gaps found.

The ideas of a stack: every frame has a place `t` along the common normal, and its first pixel sits `shift` pixels to
the side of where the first frame's does. A plain scan has equal steps in `t` and no shift; a tilted gantry shifts each
slice a little more than the one before; missing slices leave larger steps.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.readers.headers import Frame

MIN_SLICES = 8
SAME_PLACE_MM = 0.01
# Positions are written with few digits; a slice this part of a step away from its even place is still even.
EVEN_PART = 0.05
# A gap may be filled when it is at most this many ordinary steps or this long; beyond it, a nodule could be lost.
MAX_GAP_STEPS = 4.0
MAX_GAP_MM = 10.0
MIN_SPACING_MM, MAX_SPACING_MM = 0.05, 20.0
# Sideways drift over the whole stack below this many pixels is rounding, not tilt.
MIN_DRIFT_PX = 0.5
# Frames of another size or direction are left out when at least this part of the frames agrees.
MAIN_PART = 0.7


@dataclass(frozen=True)
class Stack:
    """Frames in order, and the grid they span before gaps are filled.

    Parameters
    ----------
    frames
        Sorted along `direction`'s third column, one per place.
    places
        (n,) mm along the normal, growing.
    shifts
        (n, 2) pixels (rows, columns) by which each frame's first pixel lies beside the grid's, all >= 0.
    shape
        Rows and columns of the grid that holds every shifted frame.
    repeated
        Groups of frames at the same place (the first is the one in `frames`), to be compared before use.
    """

    frames: tuple[Frame, ...]
    places: NDArray[np.float64]
    shifts: NDArray[np.float64]
    shape: tuple[int, int]
    spacing: tuple[float, float]
    origin: tuple[float, float, float]
    direction: NDArray[np.float64]
    repeated: tuple[tuple[Frame, ...], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def step(self) -> float:
        """The ordinary distance between neighboring slices in mm."""
        return float(np.median(np.diff(self.places)))

    @property
    def even(self) -> bool:
        n = len(self.places)
        ideal = np.linspace(self.places[0], self.places[-1], n)
        return bool(np.abs(self.places - ideal).max() <= EVEN_PART * self.step)

    @property
    def even_step(self) -> float:
        """The distance nearest to `step` that divides the stack's length."""
        length = float(self.places[-1] - self.places[0])
        return length / max(round(length / self.step), 1)

    @property
    def upright(self) -> bool:
        return not self.shifts.any()


@dataclass
class _Sorting:
    frames: list[Frame]
    warnings: list[str] = field(default_factory=list)


def arrange(frames: list[Frame]) -> Stack:
    """The frames of one series as a stack, from their headers alone.

    Raises
    ------
    InputError
        If they do not form one volume; the message is the reason without a subject ("it has ...").
    """
    sorting = _Sorting(frames)
    _leave_out_localizers(sorting)
    _require(sorting.frames)
    _keep_one_grid(sorting)
    if len(sorting.frames) < MIN_SLICES:
        raise InputError(f"it has {slices_word(len(sorting.frames))}, and at least {MIN_SLICES} are needed")
    direction = _direction(sorting.frames[0])
    kept, repeated = _one_per_place(sorting.frames, direction[:, 2])
    _refuse_interleaved(kept, direction[:, 2])
    if len(kept) < MIN_SLICES:
        raise InputError(
            f"it has {slices_word(len(kept))} at different positions, and at least {MIN_SLICES} are needed"
        )
    return _stack(kept, repeated, direction, sorting.warnings)


def slices_word(count: int) -> str:
    """`1 slice`, `2 slices`."""
    return f"{count} slice" if count == 1 else f"{count} slices"


def _leave_out_localizers(sorting: _Sorting) -> None:
    kept = [frame for frame in sorting.frames if not frame.localizer]
    if not kept:
        raise InputError("it is a localizer (scout)")
    if len(kept) < len(sorting.frames):
        sorting.warnings.append(f"{slices_word(len(sorting.frames) - len(kept))} marked as localizer were left out.")
    sorting.frames = kept


def _require(frames: list[Frame]) -> None:
    """Every frame says where it is and how to reach HU."""
    for frame in frames:
        where = f" in {frame.file.name}"
        if not frame.rows or not frame.columns:
            raise InputError(f"the matrix size is missing{where} (a truncated file?)")
        if frame.position is None or frame.orientation is None:
            if len(frames) < MIN_SLICES:
                raise InputError(f"it has {slices_word(len(frames))}, and at least {MIN_SLICES} are needed")
            raise InputError(f"the position or orientation of the slice is missing{where}")
        if frame.spacing is None or not np.isfinite(frame.spacing).all() or min(frame.spacing) <= 0:
            raise InputError(f"the pixel spacing is missing or zero{where}")
        if not MIN_SPACING_MM <= min(frame.spacing) <= max(frame.spacing) <= MAX_SPACING_MM:
            raise InputError(
                f"a pixel spacing of {frame.spacing[0]:g} x {frame.spacing[1]:g} mm is not possible{where}"
            )
        if not np.isfinite([*frame.position, *frame.orientation]).all():
            raise InputError(f"the position or orientation of the slice is not a number{where}")
        if frame.slope == 0 or not np.isfinite([frame.slope, frame.intercept]).all():
            raise InputError(f"a rescale slope of {frame.slope:g} cannot give HU{where}")
        if frame.rescale_type not in ("", "HU", "US"):
            raise InputError(f"its values are {frame.rescale_type}, not HU")


def _keep_one_grid(sorting: _Sorting) -> None:
    """Leave out the few frames of another size, pixel spacing or orientation than the rest."""
    groups: list[list[Frame]] = []
    for frame in sorting.frames:
        for group in groups:
            if _same_grid(frame, group[0]):
                group.append(frame)
                break
        else:
            groups.append([frame])
    groups.sort(key=len, reverse=True)
    main = groups[0]
    if len(main) == len(sorting.frames):
        return
    others = len(sorting.frames) - len(main)
    if len(main) < MIN_SLICES or len(main) < MAIN_PART * len(sorting.frames):
        sizes = ", ".join(f"{len(g)} of {g[0].rows} x {g[0].columns} {orientation(g[0])}" for g in groups[:4])
        raise InputError(f"it mixes slices of different matrix sizes, spacings or orientations ({sizes})")
    sorting.warnings.append(
        f"{slices_word(others)} of another matrix size, pixel spacing or orientation than the other {len(main)} "
        f"were left out (such as {groups[1][0].file.name})."
    )
    sorting.frames = main


def _same_grid(a: Frame, b: Frame) -> bool:
    return (
        (a.rows, a.columns) == (b.rows, b.columns)
        and np.allclose(a.spacing or 0, b.spacing or 0, atol=1e-3)
        and np.allclose(a.orientation or 0, b.orientation or 0, atol=5e-3)
    )


def orientation(frame: Frame) -> str:
    """`axial`, `coronal`, `sagittal`, or `oblique` when over 30 degrees from each (a tilted gantry stays axial)."""
    if frame.orientation is None:
        return "unknown"
    normal = np.abs(np.cross(frame.orientation[:3], frame.orientation[3:]))
    axis = int(np.argmax(normal))
    return ("sagittal", "coronal", "axial")[axis] if normal[axis] >= np.cos(np.radians(30)) else "oblique"


def _direction(frame: Frame) -> NDArray[np.float64]:
    """Orthonormal columns: along a row, down a column, from slice to slice (right-handed)."""
    cosines = np.array(frame.orientation).reshape(2, 3)
    lengths = np.linalg.norm(cosines, axis=1)
    if np.abs(lengths - 1).max() > 0.02 or abs(cosines[0] @ cosines[1]) > 0.02:
        raise InputError(f"the orientation of the slice in {frame.file.name} is not two perpendicular unit vectors")
    x = cosines[0] / lengths[0]
    z = np.cross(x, cosines[1])
    z /= np.linalg.norm(z)
    return np.stack([x, np.cross(z, x), z], axis=1)


def _one_per_place(
    frames: list[Frame], normal: NDArray[np.float64]
) -> tuple[list[Frame], tuple[tuple[Frame, ...], ...]]:
    """Frames sorted along the normal with one per place, and the groups that shared a place.

    Where slices of two acquisitions share a place, the larger acquisition's is kept.
    """
    size = Counter(frame.time for frame in frames)
    keyed = sorted(((float(np.dot(f.position or 0, normal)), f) for f in frames), key=lambda pair: pair[0])
    groups: list[list[Frame]] = []
    last = -np.inf
    for place, frame in keyed:
        if place - last <= SAME_PLACE_MM:
            groups[-1].append(frame)
        else:
            groups.append([frame])
            last = place
    for group in groups:
        group.sort(key=lambda f: (-size[f.time], f.time, f.instance, f.index))
    return [g[0] for g in groups], tuple(tuple(g) for g in groups if len(g) > 1)


def _refuse_interleaved(frames: list[Frame], normal: NDArray[np.float64]) -> None:
    """Two acquisitions of the same region with slices between each other's are two volumes, not one finer one."""
    places: dict[tuple[int, int], list[float]] = {}
    for frame in frames:
        places.setdefault(frame.time, []).append(float(np.dot(frame.position or 0, normal)))
    extents = sorted((min(p), max(p)) for p in places.values() if len(p) >= MIN_SLICES)
    for (low, high), (next_low, next_high) in pairwise(extents):
        overlap = min(high, next_high) - next_low
        if overlap > 0.5 * min(high - low, next_high - next_low):
            raise InputError("it holds several volumes of the same region (4D); export one time point by itself")


def _stack(
    frames: list[Frame], repeated: tuple[tuple[Frame, ...], ...], direction: NDArray[np.float64], warnings: list[str]
) -> Stack:
    # Walk toward the head, back or left, so that turning the volume upright seldom needs a copy.
    along = int(np.argmax(np.abs(direction[:, 2])))
    if direction[along, 2] < 0:
        frames = frames[::-1]
        direction = direction * np.array([1, 1, -1])
    positions = np.array([frame.position for frame in frames], float)
    places = positions @ direction[:, 2]
    spacing = frames[0].spacing or (0.0, 0.0)
    rows, columns = frames[0].rows, frames[0].columns
    aside = (positions - positions[0]) @ direction[:, [1, 0]] / np.array(spacing)
    low, high = aside.min(axis=0), aside.max(axis=0)
    if (high - low > (rows, columns)).any():
        raise InputError("its slices do not lie above one another")
    if (high - low).max() < MIN_DRIFT_PX:
        shifts = np.zeros_like(aside)
        first = positions[0]
        shape = rows, columns
    else:
        shifts = aside - low
        first = positions[0] + direction[:, [1, 0]] @ (low * spacing)
        shape = rows + int(np.ceil(high[0] - low[0] - 1e-6)), columns + int(np.ceil(high[1] - low[1] - 1e-6))
        warnings = [*warnings, _drift(positions, direction)]
    stack = Stack(
        frames=tuple(frames),
        places=places,
        shifts=shifts,
        shape=shape,
        spacing=spacing,
        origin=tuple(float(v) for v in first),  # type: ignore[arg-type]
        direction=direction,
        repeated=repeated,
        warnings=tuple(warnings),
    )
    return replace(stack, warnings=(*warnings, *_gaps(stack)))


def _drift(positions: NDArray[np.float64], direction: NDArray[np.float64]) -> str:
    travel = positions[-1] - positions[0]
    angle = np.degrees(np.arccos(np.clip(abs(travel @ direction[:, 2]) / np.linalg.norm(travel), 0, 1)))
    if angle < 0.1:
        return "The slices do not lie exactly above one another; they were shifted onto one grid."
    return f"The gantry was tilted by {angle:.1f} degrees; the slices were sheared onto an upright grid."


def _gaps(stack: Stack) -> list[str]:
    """Warnings about uneven steps and thin slices with space between them; refuses gaps too wide to fill."""
    step = stack.step
    if not MIN_SPACING_MM <= step <= MAX_SPACING_MM:
        raise InputError(f"a distance of {step:g} mm between slices is not possible")
    warnings = []
    if not stack.even:
        steps = np.diff(stack.places)
        widest = int(np.argmax(steps))
        limit = max(MAX_GAP_STEPS * step, MAX_GAP_MM)
        if steps[widest] > limit + SAME_PLACE_MM:
            before, after = stack.frames[widest].file.name, stack.frames[widest + 1].file.name
            raise InputError(
                f"slices are missing: there is a gap of {steps[widest]:.1f} mm between {before} and {after} "
                f"where others are {step:.1f} mm apart"
            )
        multiples = steps / step
        missing = int(np.sum(np.round(multiples) - 1))
        whole = np.abs(multiples - np.round(multiples)).max() <= 2 * EVEN_PART
        what = f"{slices_word(missing)} missing" if whole else "Slices are unevenly spaced"
        warnings.append(
            f"{what} ({steps.min():.2f} to {steps.max():.2f} mm apart); the volume was interpolated to even slices "
            f"{stack.even_step:.2f} mm apart."
        )
    thickness = stack.frames[0].thickness
    if thickness and step > 1.5 * thickness:
        warnings.append(
            f"The slices are {thickness:g} mm thick but {step:.1f} mm apart; what lies between them was not imaged."
        )
    return warnings
