"""`lungcad train detection`: fits both scores of detection and prints how they do on scans they have not seen."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.nodules import MOST_OUTLINED
from LungCADLib.nodules.accept import impression
from LungCADLib.nodules.outline import outline_nodule
from LungCADLib.resources import resource
from LungCADLib.study import Candidate
from LungCADLib.training.detection_card import detection_card
from LungCADLib.training.detection_fit import fit_blob_score, fit_nodule_score
from LungCADLib.training.detection_grounds import (
    NEITHER,
    NOT_A_NODULE,
    Ground,
    Rows,
    crop_grounds,
    inserted_rows,
    scan_grounds,
)
from LungCADLib.weights import write_table

CROP_FOLDS = 8
LEAST_CROP_SCORE = 0.05
"""Blobs of crops scored lower do not go on to the second score; a whole scan would not outline them either."""

OPERATING_POINT = 0.55
"""Of the thresholds that the command prints, the one with little more than one false mark per scan."""

RESAMPLES = 1000
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.7, 0.8)

LEAST_DIAMETER_MM = 4.0


@dataclass(frozen=True, eq=False)
class Outlined:
    """Outlined candidates to learn from: impressions (n, f), the lesion's number or not, the patient."""

    impressions: NDArray[np.float64]
    lesion: NDArray[np.int64]
    patient: NDArray[np.str_]

    @property
    def nodule(self) -> NDArray[np.bool_]:
        return self.lesion >= 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        default=Path("../shared/data"),
        help="folder with lidc-crops, lidc-stamps and the scans (default: %(default)s)",
    )
    parser.add_argument(
        "--scans",
        type=Path,
        metavar="FILE",
        help="JSON list of scans with their lesions (default: the list that comes with LungCAD)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path(), help="where to write (default: here)")
    parser.add_argument("--seed", type=int, metavar="N", default=0)


def run(args: argparse.Namespace) -> int:
    """Make the rows, test across patients, fit on everything, write."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    with console.status("reading") as status:
        manifest = args.scans or resource("Models", "detection-scans.json")
        scans = list(scan_grounds(args.data, manifest, status.update))
        crops = list(crop_grounds(args.data / "lidc-crops" / "crops.npz", status.update))
        inserted = inserted_rows(args.data / "lidc-stamps" / "stamps.npz", scans, args.seed, status.update)
        grounds = scans + crops
        rows = Rows.join([*(ground.rows for ground in grounds), inserted])
        status.update("scores by patient left out")
        groups = _groups(grounds, args.seed)
        blob_scores = _left_out_blob_scores(grounds, groups, rows, args.seed)
        status.update("outlines")
        outlined = _outline_all(grounds, blob_scores)
        nodule_scores = _left_out_nodule_scores(outlined, groups)

    tested = _tested(outlined, nodule_scores, [scan.patient for scan in scans], args.seed)
    for line in tested["scans_left_out"]:
        console.print(line)
    for threshold, point in tested["operating_points"].items():
        console.print(f"score {threshold} or more, patient left out: " + json.dumps(_rounded(point)))
    console.print("AUC of outlined candidates, each patient left out: " + json.dumps(_rounded(tested["auc"])))
    training = {
        "blobs": len(rows.nodule),
        "nodules": int(rows.nodule.sum()),
        "of_them_inserted": len(inserted.nodule),
        "outlined": len(outlined.lesion),
        "patients": len(set(rows.patient.tolist())),
        "seed": args.seed,
    }
    console.print("Training: " + json.dumps(training))
    args.out.mkdir(parents=True, exist_ok=True)
    final = fit_nodule_score(outlined.impressions, outlined.nodule, OPERATING_POINT)
    for name, score in (("blob-score", fit_blob_score(rows, args.seed)), ("nodule-score", final)):
        path = args.out / f"{name}.json"
        data = {"name": name, "version": "1", "training": training, "tested": tested, "score": score.to_dict()}
        write_table(path, _rounded(data))
        console.print(str(path))
    path = args.out / "detection.md"
    path.write_text(detection_card(training, tested, OPERATING_POINT, MOST_OUTLINED), encoding="utf-8")
    console.print(str(path))
    return 0


def _groups(grounds: list[Ground], seed: int) -> list[set[str]]:
    """Patients left out together: each scan alone, the crops' patients in folds."""
    scans = {ground.patient for ground in grounds if ground.whole}
    others = np.array(sorted({ground.patient for ground in grounds} - scans))
    np.random.default_rng(seed).shuffle(others)
    folds = (set(others[k::CROP_FOLDS].tolist()) for k in range(CROP_FOLDS))
    return [{scan} for scan in sorted(scans)] + [fold for fold in folds if fold]


def _left_out_blob_scores(
    grounds: list[Ground], groups: list[set[str]], rows: Rows, seed: int
) -> list[NDArray[np.float64]]:
    """Scores of every ground's blobs by a fit that saw nothing of its patient, nor anything set into the lung."""
    fits = [(group, fit_blob_score(rows.without(group), seed)) for group in groups]
    return [next(f for group, f in fits if ground.patient in group).predict(ground.features) for ground in grounds]


def _outline_all(grounds: list[Ground], scores: list[NDArray[np.float64]]) -> Outlined:
    impressions, lesion, patient = [], [], []
    for ground, score in zip(grounds, scores, strict=True):
        chosen = np.argsort(-score, kind="stable")[:MOST_OUTLINED]
        if not ground.whole:
            chosen = chosen[(score[chosen] > LEAST_CROP_SCORE) | (ground.lesion[chosen] >= 0)]
        lps = ground.grid.geometry.to_lps(ground.blobs.index)
        for i in chosen[ground.lesion[chosen] != NEITHER]:
            center = (float(lps[i, 0]), float(lps[i, 1]), float(lps[i, 2]))
            radius = float(np.sqrt(3) * ground.blobs.sigma_mm[i])
            candidate = Candidate(center, radius, "solid", float(score[i]))
            outline = outline_nodule(ground.scan, ground.region, candidate)
            impressions.append(impression(ground.scan, ground.region, outline, candidate))
            lesion.append(int(ground.lesion[i]))
            patient.append(ground.patient)
    return Outlined(np.array(impressions), np.array(lesion), np.array(patient))


def _left_out_nodule_scores(outlined: Outlined, groups: list[set[str]]) -> NDArray[np.float64]:
    scores = np.zeros(len(outlined.lesion))
    for group in groups:
        test = np.isin(outlined.patient, list(group))
        fit = fit_nodule_score(outlined.impressions[~test], outlined.nodule[~test], OPERATING_POINT)
        if test.any():
            scores[test] = fit.predict(outlined.impressions[test])
    return scores


def _tested(outlined: Outlined, scores: NDArray[np.float64], scans: list[str], seed: int) -> dict[str, Any]:
    from LungCADLib.nodules.accept import NAMES

    before = outlined.impressions[:, NAMES.index("log_odds")]
    auc = {
        "before outlining": _auc(outlined, before, seed),
        "after": _auc(outlined, scores, seed),
    }
    large = np.exp(outlined.impressions[:, NAMES.index("log_diameter")]) >= LEAST_DIAMETER_MM
    lines = []
    for scan in scans:
        here = outlined.patient == scan
        false = scores[here & large & (outlined.lesion == NOT_A_NODULE)]
        lesions = sorted({int(k) for k in outlined.lesion[here] if k >= 0})
        best = [float(scores[here & (outlined.lesion == k)].max()) for k in lesions]
        known = ", ".join(f"{b:.2f} (rank {1 + int((false > b).sum())})" for b in best) or "none known"
        lines.append(f"{scan}, left out: lesions {known}; {int((false >= OPERATING_POINT).sum())} false marks")
    points = {f"{t:.2f}": _operating(outlined, scores, large, scans, t) for t in THRESHOLDS}
    return {"auc": auc, "scans_left_out": lines, "operating_points": points}


def _operating(
    outlined: Outlined, scores: NDArray[np.float64], large: NDArray[np.bool_], scans: list[str], threshold: float
) -> dict[str, Any]:
    """How many lesions score at least the threshold (95% Wilson interval), and how many other marks of a scan do."""
    from scipy.stats import binomtest

    whole = np.isin(outlined.patient, scans)
    lesions = {(p, k) for p, k in zip(outlined.patient.tolist(), outlined.lesion.tolist(), strict=True) if k >= 0}
    found = sum(scores[(outlined.patient == p) & (outlined.lesion == k)].max() >= threshold for p, k in lesions)
    false = (scores >= threshold) & whole & large & (outlined.lesion == NOT_A_NODULE)
    interval = binomtest(int(found), len(lesions)).proportion_ci(method="wilson")
    share = {"value": found / len(lesions), "low": float(interval.low), "high": float(interval.high), "n": len(lesions)}
    return {"lesions found": share, "false marks per scan": float(false.sum()) / max(len(scans), 1)}


def _auc(outlined: Outlined, scores: NDArray[np.float64], seed: int) -> dict[str, float]:
    """AUC with the 95% interval from drawing the patients again."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(outlined.patient == patient) for patient in np.unique(outlined.patient)]
    drawn = []
    for _ in range(RESAMPLES):
        some = np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])
        if 0 < outlined.nodule[some].sum() < len(some):
            drawn.append(roc_auc_score(outlined.nodule[some], scores[some]))
    low, high = np.percentile(drawn, (2.5, 97.5))
    value = roc_auc_score(outlined.nodule, scores)
    return {"value": float(value), "low": float(low), "high": float(high), "n": len(outlined.nodule)}


def _rounded(data: Any) -> Any:
    """Six significant digits: what the file holds is what the code uses."""
    if isinstance(data, float):
        return float(f"{data:.6g}")
    if isinstance(data, dict):
        return {key: _rounded(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_rounded(value) for value in data]
    return data
