"""Stored pixel values of DICOM frames as HU."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from LungCADLib.errors import InputError
from LungCADLib.readers.headers import Frame, one_line
from LungCADLib.scan import AIR_HU

# A padding value in this range could be tissue as well, so only what touches the picture's border is padding.
TISSUE_HU = (-900, 3000)

_WORKERS = 2


def decode(frames: list[Frame], moved: Callable[[int], None] = lambda done: None) -> Iterator[NDArray[np.int16]]:
    """HU slices (rows, columns) of the frames, in their order.

    Stored values are rescaled slice by slice; padding and everything below -1024 becomes -1024.

    Parameters
    ----------
    frames
        Slices to read; neighbors from one multi-frame file are read together.
    moved
        Called with the number of slices done.

    Raises
    ------
    InputError
        If a file is truncated or its compression cannot be decoded; the message names the file.
    """
    jobs = [(file, list(group)) for file, group in groupby(frames, key=lambda frame: frame.file)]
    done = 0
    with ThreadPoolExecutor(_WORKERS) as pool:
        # A window of jobs, because all at once would hold every decoded slice twice.
        window = 4 * _WORKERS
        waiting = [pool.submit(_decode_file, *job) for job in jobs[:window]]
        for following in [*jobs[window:], *[None] * len(waiting)]:
            slices = waiting.pop(0).result()
            if following is not None:
                waiting.append(pool.submit(_decode_file, *following))
            for hu in slices:
                done += 1
                moved(done)
                yield hu


def _decode_file(path: Path, frames: list[Frame]) -> list[NDArray[np.int16]]:
    try:
        dataset = dcmread(path, force=True)
    except FileNotFoundError:  # it was there when its header was read
        raise InputError(f"{path} cannot be opened: no such file or directory.") from None
    except Exception as error:
        raise InputError(f"{path} is damaged or truncated ({one_line(error)}); copy it again.") from None
    meta = dataset.file_meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
    if "TransferSyntaxUID" not in meta:
        # A bare data set, without the part of the file that says how it is encoded: as it was found to be.
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    if "PixelData" not in dataset:
        raise InputError(f"{path} has no integer pixel data (is it truncated?); copy it again.")
    _refuse_truncated(path, dataset)
    try:
        stored = dataset.pixel_array
    except (NotImplementedError, RuntimeError, AttributeError, ValueError, EOFError, OSError) as error:
        raise InputError(f"The pixels of {path} cannot be decoded ({one_line(error)}); copy it again.") from None
    if "NumberOfFrames" not in dataset or stored.ndim == 2:
        stored = stored[None]
    return [hounsfield(stored[frame.index], frame.slope, frame.intercept, dataset) for frame in frames]


def _refuse_truncated(path: Path, dataset: Dataset) -> None:
    """Uncompressed pixels have a known length."""
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        if syntax.is_compressed:
            return
    except ValueError:
        raise InputError(f"{path} is encoded in an unknown way (transfer syntax {syntax}); export it again.") from None
    there = len(dataset.PixelData)
    wanted = int(dataset.get("Rows") or 0) * int(dataset.get("Columns") or 0) * int(dataset.get("NumberOfFrames") or 1)
    wanted *= int(dataset.get("BitsAllocated") or 16) // 8
    if there < wanted:
        raise InputError(f"{path} is truncated: {there} of {wanted} bytes of pixels are there; copy it again.")


def hounsfield(stored: NDArray, slope: float, intercept: float, dataset: Dataset) -> NDArray[np.int16]:
    """HU (rows, columns) of stored values, with padding and everything below -1024 set to -1024."""
    padding = _padding(stored, slope, intercept, dataset)
    if stored.dtype == np.uint16 and stored.max() > np.iinfo(np.int16).max and slope == 1 and intercept > -20_000:
        # No CT number is that high: signed values (mostly padding of -2000) in a file that says unsigned.
        stored = stored.view(np.int16)
    if slope == 1 and intercept == int(intercept):
        values = np.add(stored, int(intercept), dtype=np.int32)
    else:
        values = np.rint(stored * np.float32(slope) + np.float32(intercept))
    if padding is not None:
        values[padding] = AIR_HU
    return np.clip(values, AIR_HU, np.iinfo(np.int16).max).astype(np.int16)


def _padding(stored: NDArray, slope: float, intercept: float, dataset: Dataset) -> NDArray[np.bool_] | None:
    """Where the file says that there is no picture (PixelPaddingValue, and its range limit), or None."""
    first = dataset.get("PixelPaddingValue")
    if not isinstance(first, int):
        return None
    last = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((_as(stored.dtype, first), _as(stored.dtype, last if isinstance(last, int) else first)))
    mask = (stored >= low) & (stored <= high)
    if not mask.any():
        return None
    ends = sorted((low * slope + intercept, high * slope + intercept))
    if ends[1] > TISSUE_HU[0] and ends[0] < TISSUE_HU[1]:
        from scipy import ndimage

        labels, _ = ndimage.label(mask)
        border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        mask = np.isin(labels, np.unique(border[border > 0]))
    return mask


def _as(dtype: np.dtype, value: int) -> int:
    """The value in the range of an integer type: files often write -2000 as 63536 or the reverse."""
    info = np.iinfo(dtype)
    return (value - int(info.min)) % (int(info.max) - int(info.min) + 1) + int(info.min)
