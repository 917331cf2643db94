"""Tiny twins of the public data sets, in their publishers' layouts."""

import pickle
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import SimpleITK as sitk
from dicom_factory import axial, save
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from slice_factory import write_rows

from LungCADLib.readers import read_scan
from LungCADLib.scan import Geometry

SLICES = 16
"""Of `dicom_factory`'s chests, 5 mm apart, with 30 x 40 pixels of 4 mm."""

SQUARE = (
    *((x, 10) for x in (10, 11, 12, 13)), (13, 11), (13, 12),
    *((x, 13) for x in (13, 12, 11, 10)), (10, 12), (10, 11),
)  # fmt: skip
"""A contour (x, y) around four pixels: 11 and 12 in both directions."""

RATINGS = (
    "subtlety", "internalStructure", "calcification", "sphericity", "margin", "lobulation", "spiculation", "texture",
    "malignancy",
)  # fmt: skip


def chest() -> tuple[NDArray[np.int16], Geometry]:
    """A small chest and its grid."""
    with TemporaryDirectory() as folder:
        scan = read_scan(save(Path(folder), axial(SLICES, patient="any")))
    return scan.hu, scan.geometry


def nodule_xml(
    name: str, images: Sequence[tuple[str, float]], contour: Sequence[tuple[int, int]], malignancy: int
) -> str:
    """One reader's nodule, the same contour in some images; a malignancy of 0 makes it one under 3 mm."""
    said = "".join(f"<{r}>{malignancy if r == 'malignancy' else 3}</{r}>" for r in RATINGS) if malignancy else ""
    edges = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in contour)
    rois = "".join(
        f"<roi><imageZposition>{z} </imageZposition><imageSOP_UID>{uid}</imageSOP_UID>"
        f"<inclusion>TRUE</inclusion>{edges}</roi>"
        for uid, z in images
    )
    characteristics = f"<characteristics>{said}</characteristics>" if said else ""
    return f"<unblindedReadNodule><noduleID>{name}</noduleID>{characteristics}{rois}</unblindedReadNodule>"


def reading_xml(series_uid: str, sessions: Sequence[str], head: str = "") -> str:
    """A LIDC reading; `head` goes before its root."""
    read = "".join(f"<readingSession><annotationVersion>3.12</annotationVersion>{s}</readingSession>" for s in sessions)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{head}<LidcReadMessage xmlns="http://www.nih.gov">'
        f"<ResponseHeader><SeriesInstanceUid>{series_uid}</SeriesInstanceUid></ResponseHeader>{read}</LidcReadMessage>"
    )


def write_lidc(folder: Path, patient: str = "LIDC-IDRI-9001", series: Sequence[Dataset] = ()) -> Path:
    """One patient: a nodule that two readers outline in three images and rate 4 and 5, and one under 3 mm."""
    series = series or axial(SLICES, patient=patient, series=patient)
    place = folder / patient / "study" / "series"
    save(place, series)
    images = [(one.SOPInstanceUID, float(one.ImagePositionPatient[2])) for one in series]
    sessions = [
        nodule_xml("N1", images[5:8], SQUARE, 4),
        nodule_xml("A", images[5:8], SQUARE, 5) + nodule_xml("small", images[2:3], [(20, 15)], 0),
        "",
        "<nonNodule><nonNoduleID>x</nonNoduleID></nonNodule>",
    ]
    (place / "069.xml").write_text(reading_xml(series[0].SeriesInstanceUID, sessions), encoding="utf-8")
    return folder


def write_luna16(folder: Path, subsets: int = 2) -> Path:
    """A volume in each of some subsets with one nodule at the voxel (z, y, x) = (6, 11, 12)."""
    hu, geometry = chest()
    x, y, z = geometry.to_lps((6, 11, 12))
    rows = []
    for k in range(subsets):
        place = folder / f"subset{k}"
        place.mkdir(parents=True)
        name = f"1.3.6.1.4.1.14519.5.2.1.6279.6001.{k}"
        sitk.WriteImage(geometry.image(hu), str(place / f"{name}.mhd"))
        rows.append({"seriesuid": name, "coordX": x, "coordY": y, "coordZ": z, "diameter_mm": 9.5})
    write_rows(folder / "annotations.csv", rows)
    return folder


def write_dsb2017(folder: Path, cancer: Sequence[int] = (0, 1)) -> Path:
    """Patients with a folder of DICOM each and their labels."""
    for i in range(len(cancer)):
        save(folder / "stage1" / f"patient{i}", axial(SLICES, patient=f"patient{i}", series=f"s{i}"))
    write_rows(folder / "stage1_labels.csv", [{"id": f"patient{i}", "cancer": c} for i, c in enumerate(cancer)])
    return folder


def write_pair(folder: Path, name: str, values: NDArray | None = None, ending: str = "-label.nrrd") -> Path:
    """A CT and its label map; None outlines one voxel cube."""
    folder.mkdir(parents=True, exist_ok=True)
    hu, geometry = chest()
    labels = np.zeros(hu.shape, np.uint8)
    labels[5:8, 10:13, 10:13] = 1
    sitk.WriteImage(geometry.image(hu), str(folder / f"{name}.nrrd"))
    sitk.WriteImage(geometry.image(labels if values is None else values), str(folder / f"{name}{ending}"))
    return folder


def lung_rads_rows(count: int = 5, side: int = 32, seed: int = 0) -> dict[str, list[Any]]:
    """Columns of the Lung-RADS set: a nodule in a lung, larger with its class; float64 HU of shape (1, y, x)."""
    random = np.random.default_rng(seed)
    labels = ("LR2", "LR3", "LR4A", "LR4B", "LR4X")
    y, x = np.indices((side, side))
    columns: dict[str, list[Any]] = {"label1": [], "mask": [], "hu_array": [], "hu_array_old": []}
    for i in range(count):
        k = i % len(labels)
        center = random.integers(side // 3, 2 * side // 3, 2)
        mask = np.hypot(y - center[0], x - center[1]) <= 1.5 + k
        lung = np.hypot(y - side / 2, x - side / 2) < side * 0.45
        hu = np.rint(np.where(mask, 20, np.where(lung, -850, 50)) + random.normal(0, 10, mask.shape))
        columns["label1"].append(labels[k])
        columns["mask"].append(mask.astype(np.int64))
        columns["hu_array_old"].append(hu[None])
        columns["hu_array"].append((hu * lung)[None])
    return columns


def write_lung_rads(folder: Path, names: Sequence[str] = ("lung_cancer_train.pkl", "lung_cancer_test.pkl")) -> Path:
    """Both pickles, ten rows each."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        (folder / name).write_bytes(pickled_table(lung_rads_rows(10, seed=seed)))
    return folder


def pickled_table(columns: dict[str, list[Any]], older: bool = False) -> bytes:
    """A data frame of object columns, pickled as pandas 1.3 and later do (or as before, `older`), without pandas.

    `test_restricted_pickle` compares its layout with what real pandas wrote.
    """
    values = np.empty((len(columns), len(next(iter(columns.values())))), object)
    for i, cells in enumerate(columns.values()):
        for j, cell in enumerate(cells):
            values[i, j] = cell
    names = np.empty(len(columns), object)
    names[:] = list(columns)
    with _pandas_by_name() as named:
        index, lines = named("pandas.core.indexes.base", "Index"), named("pandas.core.indexes.range", "RangeIndex")
        axes = [
            _call(named("pandas.core.indexes.base", "_new_Index"), index, {"data": names, "name": None}),
            _call(
                named("pandas.core.indexes.base", "_new_Index"), lines,
                {"name": None, "start": 0, "stop": values.shape[1], "step": 1},
            ),
        ]  # fmt: skip
        block = _call(named("pandas._libs.internals", "_unpickle_block"), values, slice(0, len(columns), 1), 2)
        kind = named("pandas.core.internals.managers", "BlockManager")
        manager = _call(kind, (block,), axes)
        if older:
            kept = {"axes": axes, "blocks": [{"values": values, "mgr_locs": slice(0, len(columns), 1)}]}
            manager = kind()
            kind.__getstate__ = lambda self: (axes, [values], axes[:1], {"0.14.1": kept})
        frame = named("pandas.core.frame", "DataFrame")()
        frame.__dict__ |= {"_mgr": manager, "_typ": "dataframe", "_metadata": [], "attrs": {}, "_flags": {}}
        return pickle.dumps(frame, protocol=5)


class _Called:
    def __init__(self, function: Any, arguments: tuple[Any, ...]) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def _call(function: Any, *arguments: Any) -> Any:
    """What a pickle writes as a call."""
    return _Called(function, arguments)


@contextmanager
def _pandas_by_name() -> Iterator[Any]:
    """Gives classes that pickle under pandas's names; nothing of pandas is needed or left behind."""
    made: dict[str, ModuleType] = {}

    def named(module: str, name: str) -> type:
        parts = module.split(".")
        for i in range(1, len(parts) + 1):
            made.setdefault(".".join(parts[:i]), ModuleType(".".join(parts[:i])))
        kept = getattr(made[module], name, None)
        if kept is None:
            kept = type(name, (), {"__module__": module})
            setattr(made[module], name, kept)
            sys.modules.update(made)
        return kept

    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "pandas"}
    try:
        yield named
    finally:
        for name in made:
            sys.modules.pop(name, None)
        sys.modules.update(before)
