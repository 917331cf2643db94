"""`lungcad train blob-score`: fits the score of the blob detector and prints how it does on scans it has not seen."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from LungCADLib.detection.features import NAMES
from LungCADLib.detection.score import BlobScore, Tree
from LungCADLib.resources import resource
from LungCADLib.training.blob_rows import Ground, Rows, crop_rows, grounds, inserted_rows

NODULE_WEIGHT = 10.0
REGRESSION_C = 0.05
BOOSTING = {"n_estimators": 200, "learning_rate": 0.05, "max_depth": 3, "subsample": 0.7, "min_samples_leaf": 20}
FALSE_MARKS_PER_SCAN = 3.0
"""The operating point allows so many false marks of 4 mm or more per scan, on scans the score has not seen."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        default=Path("../shared/data"),
        help="folder with lidc-crops, lidc-stamps and the scans (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path(), help="where to write (default: here)")
    parser.add_argument("--seed", type=int, metavar="N", default=0)


def run(args: argparse.Namespace) -> int:
    """Make the rows, test across patients and scans, fit on everything, write."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    with console.status("") as status:
        scans = grounds(args.data, resource("Models", "blob-score-scans.json"), status.update)
        crops = crop_rows(args.data / "lidc-crops" / "crops.npz", status.update)
        inserted = inserted_rows(args.data / "lidc-stamps" / "stamps.npz", scans, args.seed, status.update)
    rows = Rows.join([*(scan.rows for scan in scans), crops, inserted])
    console.print(
        f"{len(rows.nodule)} blobs, {int(rows.nodule.sum())} of them nodules "
        f"({int(inserted.nodule.sum())} set into other lungs), {len(set(rows.patient.tolist()))} patients"
    )
    tested = test_by_patient(rows, inserted, args.seed)
    console.print("AUC across patients, ten folds, real blobs only: " + json.dumps(tested))
    held_out = [held_out_scores(rows, scan, args.seed) for scan in scans]
    threshold = operating_point(scans, held_out)
    by_scan = [scan_line(scan, scores, threshold) for scan, scores in zip(scans, held_out, strict=True)]
    for line in by_scan:
        console.print(line)
    score = fit(rows, args.seed, threshold)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "blob-score.json"
    data = {
        "name": "blob-score",
        "version": "1",
        "training": {"blobs": len(rows.nodule), "nodules": int(rows.nodule.sum()), "seed": args.seed},
        "tested": {"auc_across_patients": tested, "scans_left_out": by_scan},
        "score": score.to_dict(),
    }
    path.write_text(json.dumps(_rounded(data), indent=None, separators=(",", ":")) + "\n", encoding="utf-8")
    console.print(f"{path}: operating point {threshold:.3f}")
    return 0


def fit(rows: Rows, seed: int, operating_point: float = 0.5) -> BlobScore:
    """Fit regression and trees on standardized and plain features."""
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    weight = np.where(rows.nodule, NODULE_WEIGHT, 1.0)
    mean, scale = rows.features.mean(0), rows.features.std(0) + 1e-6
    regression = LogisticRegression(C=REGRESSION_C, max_iter=5000)
    regression.fit((rows.features - mean) / scale, rows.nodule, weight)
    boosting = GradientBoostingClassifier(random_state=seed, **BOOSTING).fit(rows.features, rows.nodule, weight)
    positive = float((weight * rows.nodule).sum() / weight.sum())
    return BlobScore(
        mean,
        scale,
        regression.coef_[0],
        float(regression.intercept_[0]),
        float(np.log(positive / (1 - positive))),
        tuple(_tree(stage[0].tree_, BOOSTING["learning_rate"]) for stage in boosting.estimators_),
        0.0,
        operating_point,
    )


def _tree(tree: Any, rate: float) -> Tree:
    leaf = tree.children_left < 0
    return Tree(
        np.where(leaf, -1, tree.feature),
        np.where(leaf, 0.0, tree.threshold),
        np.maximum(tree.children_left, 0),
        np.maximum(tree.children_right, 0),
        rate * tree.value[:, 0, 0],
    )


def test_by_patient(rows: Rows, inserted: Rows, seed: int) -> dict[str, float]:
    """AUC of the parts and of the whole on real blobs of patients not trained on."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold

    real = np.arange(len(rows.nodule)) < len(rows.nodule) - len(inserted.nodule)
    predicted = np.zeros(len(rows.nodule))
    for train, test in GroupKFold(10).split(rows.features, rows.nodule, rows.patient):
        keep = np.zeros(len(real), bool)
        keep[train] = True
        predicted[test] = fit(rows.take(keep), seed).predict(rows.features[test])
    return {"auc": round(float(roc_auc_score(rows.nodule[real], predicted[real])), 4)}


def held_out_scores(rows: Rows, scan: Ground, seed: int) -> NDArray[np.float64]:
    """Scores of a scan's blobs by a fit that saw neither the scan nor anything set into it."""
    return fit(rows.take((rows.patient != scan.name) & (rows.background != scan.name)), seed).predict(scan.features)


def operating_point(scans: list[Ground], scores: list[NDArray[np.float64]]) -> float:
    """The lowest score at which the scans left out have no more false marks than allowed."""
    false = np.concatenate([s[(scan.lesion == -1) & _reportable(scan)] for scan, s in zip(scans, scores, strict=True)])
    allowed = int(FALSE_MARKS_PER_SCAN * len(scans))
    return float(np.sort(false)[::-1][allowed])


def _reportable(scan: Ground) -> NDArray[np.bool_]:
    return scan.blobs.sigma_mm * np.sqrt(3) > 2.0


def scan_line(scan: Ground, scores: NDArray[np.float64], threshold: float) -> str:
    best = [scores[scan.lesion == k].max(initial=0) for k in range(scan.lesions)]
    ranks = [1 + int((scores[scan.lesion == -1] > b).sum()) for b in best]
    false = int(((scores >= threshold) & (scan.lesion == -1) & _reportable(scan)).sum())
    known = ", ".join(f"{b:.2f} (rank {r})" for b, r in zip(best, ranks, strict=True)) or "none known"
    return f"{scan.name}, left out: lesions {known}; {false} false marks"


def _rounded(data: Any) -> Any:
    if isinstance(data, float):
        return float(f"{data:.6g}")
    if isinstance(data, dict):
        return {key: _rounded(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_rounded(value) for value in data]
    return data
