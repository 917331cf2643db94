"""CT slices as JPG or PNG pictures of one size in a fixed window, for people and for programs that read nothing else.

Paper 000 begins so. An 8-bit picture has lost what LungCAD reads: 256 gray values stand for a window of HU, everything
beyond it is black or white, and in a JPG even those are not exact. LungCAD therefore never reads such pictures; it
trains and answers from HU alone.
"""

import csv
import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.malignancy.preprocessing import Step, preprocessed
from LungCADLib.pictures import window
from LungCADLib.progress import Progress
from LungCADLib.readers import SeriesInfo, list_series, read_scan
from LungCADLib.scan import Scan

SIDE = 416
"""Paper 000's."""

QUALITY = 95
"""Of a JPG, of 100."""

MANIFEST = "manifest.csv"
ABOUT = "about.txt"
LOSS = (
    "These 8-bit pictures are not CT any more: HU outside the window are gone, HU within it are coarse. LungCAD never "
    "reads them; use the DICOM files for anything that measures or decides."
)

COLUMNS = (
    "file", "patient_id", "series_uid", "slice", "z_mm", "rows", "columns", "row_mm", "column_mm", "rows_per_pixel",
    "columns_per_pixel", "top", "left", "low_hu", "high_hu", "preprocessing",
)  # fmt: skip
"""Of the manifest. `slice` counts from 0 at the feet, `z_mm` is its LPS position in its middle. Picture row p shows row
(p - top + 0.5) * rows_per_pixel - 0.5 of the slice, and so do columns."""


class Window(StrEnum):
    """Which HU are shown, from black to white."""

    LUNG = "lung"
    """-1350 to 150: center -600, width 1500, in which lungs are read."""

    WIDE = "wide"
    """-1000 to 400, as LUNA16's users scale it."""

    @property
    def hu(self) -> tuple[float, float]:
        """The lowest and highest HU."""
        return (-1350.0, 150.0) if self is Window.LUNG else (-1000.0, 400.0)


class Kind(StrEnum):
    """The format of the files."""

    JPG = "jpg"
    PNG = "png"


@dataclass(frozen=True)
class Look:
    """What the pictures are like.

    Attributes
    ----------
    window, kind
        Which HU are shown, and in which format.
    side
        Pixels of every picture's side.
    stretch
        Whether slices are stretched to fill the picture, as the paper does, which bends circles into ellipses and
        enlarges small slices. Otherwise they keep their proportions in millimeters and their pixels are never
        enlarged; what is left is black.
    steps
        Preprocessing of the slices in HU.
    """

    window: Window = Window.LUNG
    kind: Kind = Kind.JPG
    side: int = SIDE
    stretch: bool = False
    steps: tuple[Step, ...] = ()


@dataclass
class Exported:
    """What was written, and what the person should know: series left out with their reasons, and remarks."""

    pictures: int = 0
    series: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def export(folder: Path, out: Path, look: Look, progress: Progress) -> Exported:
    """Write every slice of every CT series below a folder as a picture: `out/SERIES/SLICE.jpg`.

    Parameters
    ----------
    folder
        As `lungcad series` takes it.
    out
        An empty folder.
    look
        What the pictures are like.
    progress
        Told how far the work is, and asked whether to stop, after every slice.

    Raises
    ------
    InputError
        If there is no CT series that can be read.
    Cancelled
        If `progress` says so.
    """
    found = list_series(folder)
    usable = [series for series in found if series.usable]
    done = Exported(left_out={series.series_uid: series.reason for series in found if not series.usable})
    with (out / MANIFEST).open("w", newline="", encoding="utf-8") as file:
        manifest = csv.DictWriter(file, COLUMNS)
        manifest.writeheader()
        for turn, series in enumerate(usable):
            try:
                scan = _read(folder, series)
            except InputError as error:
                done.left_out[series.series_uid] = str(error).rstrip(".")
                continue
            place = _place(out, series.series_uid)
            place.mkdir()
            for z in range(len(scan.hu)):
                progress.update((turn + z / len(scan.hu)) / len(usable), series.description)
                manifest.writerow(_write(scan, z, place, series, look))
            done.series += 1
            done.pictures += len(scan.hu)
            done.remarks += _remarks(scan, series.series_uid, look)
    if not done.pictures:
        reasons = "; ".join(f"{uid}: {reason}" for uid, reason in list(done.left_out.items())[:5])
        raise InputError(f"{folder} holds no CT series that can be read ({reasons or 'no DICOM series at all'}).")
    (out / ABOUT).write_text(f"{LOSS}\n", encoding="utf-8")
    return done


def picture(hu: NDArray[np.int16], spacing_mm: tuple[float, float], look: Look) -> tuple[NDArray[np.uint8], "Fit"]:
    """A slice (y, x) of pixels `spacing_mm` (y, x) as gray values (`look.side`, `look.side`), and how it was fitted."""
    from scipy import ndimage

    fit = fit_of(hu.shape, spacing_mm, look)
    per_pixel = (fit.rows_per_pixel, fit.columns_per_pixel)
    # What gets coarser is smoothed first, or fine structures would come and go with the grid.
    sigma = [0.5 * np.sqrt(max(step**2 - 1, 0)) for step in per_pixel]
    smooth = ndimage.gaussian_filter(preprocessed(hu, look.steps).astype(np.float32), sigma, mode="nearest")
    low, high = look.window.hu
    at = [
        (np.arange(n) + 0.5) * step - 0.5 for n, step in zip((fit.height, fit.width), per_pixel, strict=True)
    ]  # fmt: skip
    inner = ndimage.map_coordinates(smooth, np.meshgrid(*at, indexing="ij"), order=1, mode="nearest")
    gray = np.zeros((look.side, look.side), np.uint8)
    shown = window(inner, ((low + high) / 2, high - low))
    gray[fit.top : fit.top + fit.height, fit.left : fit.left + fit.width] = shown
    return gray, fit


@dataclass(frozen=True)
class Fit:
    """Where in the picture a slice lies (pixels), and how many of its rows and columns a pixel stands for."""

    top: int
    left: int
    height: int
    width: int
    rows_per_pixel: float
    columns_per_pixel: float


def fit_of(shape: tuple[int, ...], spacing_mm: tuple[float, float], look: Look) -> Fit:
    """How a slice of a shape (rows, columns) fits into a picture."""
    rows, columns = shape
    if look.stretch:
        return Fit(0, 0, look.side, look.side, rows / look.side, columns / look.side)
    # A pixel is a square of so many mm: the larger side fills the picture, but no slice pixel becomes several.
    mm = max(rows * spacing_mm[0] / look.side, columns * spacing_mm[1] / look.side, min(spacing_mm))
    size = [max(1, min(look.side, round(n * one / mm))) for n, one in zip((rows, columns), spacing_mm, strict=True)]
    top, left = ((look.side - n) // 2 for n in size)
    return Fit(top, left, size[0], size[1], rows / size[0], columns / size[1])


def _read(folder: Path, series: SeriesInfo) -> Scan:
    """The scan of a series; by one of its files where all lie together, so that no other folder is searched again."""
    together = len({file.parent for file in series.files}) == 1
    return read_scan(series.files[0]) if together and folder.is_dir() else read_scan(folder, series.series_uid)


def _place(out: Path, uid: str) -> Path:
    """The folder of a series: its UID, as far as it may stand in a path; numbered where that is taken."""
    name = re.sub(r"[^0-9A-Za-z.-]", "_", uid).strip(".") or "series"
    taken = {path.name for path in out.iterdir()}
    return out / next(one for one in (name, *(f"{name}-{k}" for k in range(2, len(taken) + 3))) if one not in taken)


def _write(scan: Scan, z: int, place: Path, series: SeriesInfo, look: Look) -> dict[str, Any]:
    """Write one slice; its row of the manifest."""
    import SimpleITK as sitk

    rows, columns = scan.hu.shape[1:]
    gray, fit = picture(scan.hu[z], (scan.spacing[1], scan.spacing[2]), look)
    path = place / f"{z:04d}.{look.kind}"
    sitk.WriteImage(sitk.GetImageFromArray(gray), str(path), look.kind is Kind.PNG, QUALITY)
    low, high = look.window.hu
    middle = scan.geometry.to_lps(np.array([z, (rows - 1) / 2, (columns - 1) / 2]))
    return {
        "file": f"{place.name}/{path.name}",
        "patient_id": series.patient_id,
        "series_uid": series.series_uid,
        "slice": z,
        "z_mm": f"{float(middle[2]):.3f}",
        "rows": rows,
        "columns": columns,
        "row_mm": f"{scan.spacing[1]:.6g}",
        "column_mm": f"{scan.spacing[2]:.6g}",
        "rows_per_pixel": f"{fit.rows_per_pixel:.6g}",
        "columns_per_pixel": f"{fit.columns_per_pixel:.6g}",
        "top": fit.top,
        "left": fit.left,
        "low_hu": f"{low:g}",
        "high_hu": f"{high:g}",
        "preprocessing": " ".join(look.steps),
    }


def _remarks(scan: Scan, uid: str, look: Look) -> list[str]:
    """What is unusual about the pictures of a series."""
    rows, columns = scan.hu.shape[1:]
    fit = fit_of((rows, columns), (scan.spacing[1], scan.spacing[2]), look)
    size = f"{uid}: slices of {columns} x {rows}"
    if look.stretch and min(fit.rows_per_pixel, fit.columns_per_pixel) < 1:
        return [f"{size} were enlarged to {look.side} x {look.side}; their pixels are not finer for it."]
    if not look.stretch and max(fit.height, fit.width) < look.side:
        return [f"{size} are smaller than {look.side} x {look.side}; they were not enlarged but framed in black."]
    return []
