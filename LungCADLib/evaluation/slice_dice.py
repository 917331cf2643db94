"""How well the slice U-Net outlines nodules in slices of patients that the answering member has not seen."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from LungCADLib.compute import choose_device, predict
from LungCADLib.detection.merging import slice_components
from LungCADLib.detection.slice_reader import PIXEL_MM, SliceReader
from LungCADLib.detection.slice_unet import multiple
from LungCADLib.evaluation.classification import Estimate, Resamples
from LungCADLib.evaluation.overlap import dice
from LungCADLib.scan import AIR_HU
from LungCADLib.training.folds import fold_of_patient
from LungCADLib.training.slice_sets import read_slices
from LungCADLib.training.slice_sheets import NODULE, Piece, as_piece

if TYPE_CHECKING:
    from torch import Tensor

SIZES_MM = ((0.0, 6.0), (6.0, 10.0), (10.0, np.inf))
"""By the diameter of the disc with the area of the reader's outline."""


@dataclass(frozen=True, eq=False)
class Outlined:
    """Slices (n,): Dice of everything found with the reader's outline, whether a part lies on it, parts beside it."""

    patient: NDArray[np.str_]
    diameter_mm: NDArray[np.float64]
    dice: NDArray[np.float64]
    found: NDArray[np.bool_]
    beside: NDArray[np.int64]

    def figures(self) -> dict[str, Estimate]:
        """Means by name, in all and by size; intervals over draws of patients."""
        draws = Resamples(self.patient.tolist())
        everything = np.ones(len(self.dice), bool)
        out = {
            "slice_dice": draws.estimate(lambda i: float(self.dice[i].mean()), everything),
            "slices_found": draws.estimate(lambda i: float(self.found[i].mean()), everything),
            "false_parts_per_slice": draws.estimate(lambda i: float(self.beside[i].mean()), everything),
        }
        for low, high in SIZES_MM:
            name = f"slice_dice_{low:g}_to_{high:g}_mm" if np.isfinite(high) else f"slice_dice_from_{low:g}_mm"
            among = (self.diameter_mm >= low) & (self.diameter_mm < high)
            if among.any():
                out[name] = draws.estimate(lambda i: float(self.dice[i].mean()) if len(i) else np.nan, among)
        return out


def outlined(reader: SliceReader, folder: Path) -> Outlined:
    """All slices of `slices.npz` in a folder, each by the member that has not seen the patient.

    Slices of patients without a fold are left out: no member may claim not to have seen them.
    """
    slices, folds = read_slices(folder / "slices.npz", folder / "ratings.csv"), fold_of_patient()
    rows = [i for i, patient in enumerate(slices.patient.tolist()) if patient in folds]
    pieces = [
        as_piece(slices.hu[i], slices.mask[i], float(slices.spacing_mm[i]), folds[str(slices.patient[i])]) for i in rows
    ]
    kept = [k for k, piece in enumerate(pieces) if piece.has_nodule]
    pieces, patient = [pieces[k] for k in kept], slices.patient[[rows[k] for k in kept]]
    truth = [piece.truth == NODULE for piece in pieces]
    scores, found, beside = [], [], []
    for seen, true in zip(_read(reader, pieces), truth, strict=True):
        parts = [tuple(part.pixels.T) for part in slice_components(seen, (PIXEL_MM, PIXEL_MM))]
        drawn = np.zeros(true.shape, bool)
        for part in parts:
            drawn[part] = True
        on = [bool(true[part].any()) for part in parts]
        scores.append(dice(drawn, true))
        found.append(any(on))
        beside.append(len(on) - sum(on))
    diameter = [2 * np.sqrt(true.sum() / np.pi) * PIXEL_MM for true in truth]
    return Outlined(patient, np.array(diameter), np.array(scores), np.array(found), np.array(beside))


def _read(reader: SliceReader, pieces: list[Piece]) -> list[NDArray]:
    """Probabilities of each piece by its fold's member."""
    import torch

    step = multiple(reader.description["widths"])
    side = -(-max(max(piece.hu.shape) for piece in pieces) // step) * step
    shown = np.full((len(pieces), side, side), AIR_HU, np.int16)
    for k, piece in enumerate(pieces):
        shown[k][: piece.hu.shape[0], : piece.hu.shape[1]] = piece.hu
    fold = np.array([piece.fold for piece in pieces])
    out = np.zeros(shown.shape, np.float32)
    for k, network in enumerate(reader.networks):
        mine = np.flatnonzero(fold == k)
        if len(mine):
            answer: Tensor = predict(network, torch.from_numpy(shown[mine]), choose_device(reader.device))
            out[mine] = torch.sigmoid(answer).numpy()
    return [out[k, : piece.hu.shape[0], : piece.hu.shape[1]] for k, piece in enumerate(pieces)]
