"""`lungcad data convert`: a pickled table of the Lung-RADS set as an npz file, without running what is in the pickle.

The file holds `hu` and `lung_hu` int16 and `mask` uint8 (n, y, x), and `label` (n,); beside it a CSV file says of each
slice which row of the pickle it is, its label, and how many pixels its mask has. One row is read at a time.
"""

import argparse
import csv
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.errors import InputError
from LungCADLib.jobs.output import publishing
from LungCADLib.progress import Progress
from LungCADLib.training.datasets.lung_rads import Row, open_table, row_of
from LungCADLib.training.datasets.pandas_pickle import PickledTable
from LungCADLib.training.datasets.screen import moving

STAGE = "convert"
PARTS: dict[str, Callable[[Row], NDArray]] = {
    "hu": lambda row: row.hu,
    "lung_hu": lambda row: row.lung_hu,
    "mask": lambda row: row.mask.astype(np.uint8),
}
"""Arrays of the npz file, each written slice by slice."""

FASTEST = 1
"""Of zlib: HU hardly compress better for ten times the time."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    parser.add_argument("table", type=Path, metavar="FILE.pkl", help="lung_cancer_train.pkl or lung_cancer_test.pkl")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.npz", required=True, help="the labels go into a CSV beside it"
    )
    parser.add_argument(
        "--leave-out-broken", action="store_true",
        help="leave out rows that cannot be used and say which, instead of stopping at the first",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Convert, with a bar."""
    from rich.console import Console

    if args.out.suffix != ".npz":
        args.usage_error(f"--out {args.out}: give a file that ends in .npz")
    with moving(STAGE) as progress:
        rows, left_out = convert(args.table, args.out, progress, args.leave_out_broken)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for sentence in left_out:
        console.print(f"Left out: {sentence}")
    size = args.out.stat().st_size / 1e6
    console.print(f"{args.out}: {rows} slices, {size:.1f} MB; labels in {args.out.with_suffix('.csv')}")
    return 0


def convert(path: Path, out: Path, progress: Progress, leave_out_broken: bool = False) -> tuple[int, list[str]]:
    """Write the npz file and its CSV.

    Parameters
    ----------
    path
        The pickle.
    out
        The npz file; replaced, together with its CSV, when all of it is written.
    progress
        Told how far it is.
    leave_out_broken
        Leave out what cannot be used.

    Returns
    -------
    tuple
        How many slices were written, and why others were left out.

    Raises
    ------
    InputError
        If it is no such table, a row cannot be used, or slices differ in size.
    """
    with open_table(path) as table:
        kept, left_out, shape = _usable(table, progress, leave_out_broken)
        labels = [str(table.columns["label1"][i]) for i in kept]
        names = (out.name, out.with_suffix(".csv").name)
        with publishing(out.absolute().parent, names) as partial:
            areas = _write(partial / out.name, table, kept, shape, labels, progress)
            with (partial / names[1]).open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(("row", "label", "mask_pixels"))
                writer.writerows(zip(kept, labels, areas, strict=True))
    return len(kept), left_out


def _usable(
    table: PickledTable, progress: Progress, leave_out_broken: bool
) -> tuple[list[int], list[str], tuple[int, ...]]:
    """Rows to write, why others are not, and the shape of a slice. Nothing is written before all rows are looked at."""
    kept, left_out, shape = [], [], None
    for i in range(len(table)):
        try:
            row = row_of(table, i)
            shape = shape or row.hu.shape
            if row.hu.shape != shape:
                raise InputError(f"{table.path}: row {i} is a slice of {row.hu.shape}, others are of {shape}.")
            kept.append(i)
        except InputError as error:
            if not leave_out_broken:
                raise InputError(f"{error} (--leave-out-broken leaves such rows out)") from None
            left_out.append(str(error))
        progress.update(0.25 * (i + 1) / len(table), f"row {i}")
    if shape is None:
        raise InputError(f"{table.path} has no row that can be used.")
    return kept, left_out, shape


def _write(
    path: Path, table: PickledTable, kept: Sequence[int], shape: tuple[int, ...], labels: list[str], progress: Progress
) -> list[int]:
    """Write the npz file; how many pixels each mask has."""
    areas = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=FASTEST) as archive:
        for k, (name, part) in enumerate(PARTS.items()):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                for j, i in enumerate(kept):
                    values = part(row_of(table, i))
                    if j == 0:
                        header = {"descr": values.dtype.str, "fortran_order": False, "shape": (len(kept), *shape)}
                        np.lib.format.write_array_header_1_0(member, header)
                    member.write(np.ascontiguousarray(values).tobytes())
                    if name == "mask":
                        areas.append(int(values.sum()))
                    progress.update(0.25 * (1 + k + (j + 1) / len(kept)), f"{name} of row {i}")
        with archive.open("label.npy", "w") as member:
            np.lib.format.write_array(member, np.array(labels))
    return areas
