"""`lungcad evaluate unet-merge`: the slice U-Net with distance and Z merging, step by step and on the whole road."""

import argparse
import json
import sys
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np

from LungCADLib.detection import OPERATING_POINT
from LungCADLib.detection.reduction import NAME as JUDGE
from LungCADLib.detection.unet_merge import NAME, slice_reader
from LungCADLib.errors import InputError
from LungCADLib.evaluation.classification import Estimate
from LungCADLib.evaluation.detection_card import SCAN_COLUMNS, rows_of, scan_rows
from LungCADLib.evaluation.detection_crops import best_scores
from LungCADLib.evaluation.detection_figures import figures
from LungCADLib.evaluation.detection_road import listed_scans, truth_of_listed, walk_phantom, walk_scan
from LungCADLib.evaluation.kept import Kept
from LungCADLib.evaluation.merging_pictures import picture
from LungCADLib.evaluation.merging_steps import Steps, read, steps
from LungCADLib.evaluation.screen import page, show_table
from LungCADLib.evaluation.slice_dice import outlined
from LungCADLib.evaluation.unet_merge_card import STEP_COLUMNS, Measured, card, estimate_rows, step_rows
from LungCADLib.pictures import png
from LungCADLib.resources import resource
from LungCADLib.settings import Settings

PHANTOMS = 10
PICTURES = 4
"""Of a scan: the candidates at its known lesions, then the likeliest others."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    parser.add_argument(
        "--data", type=Path, metavar="DIR", default=Path("../shared/data"),
        help="folder with lidc-slices, lidc-crops and the scans of detection-scans.json (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--phantoms", type=int, metavar="N", default=PHANTOMS, help="so many synthetic scans (default: %(default)s)"
    )
    parser.add_argument(
        "--pictures", type=Path, metavar="DIR", help="only draw, candidate by candidate, what each step does"
    )
    parser.add_argument(
        "--scan", type=Path, action="append", metavar="DIR", default=[],
        help="with --pictures: a CT; may be repeated (default: the listed scans with lesions)",
    )  # fmt: skip
    parser.add_argument(
        "--runs", type=Path, metavar="DIR", default=Path("runs/evaluate-unet-merge"),
        help="keeps what is done; the same command goes on from there (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--card", type=Path, metavar="DIR", help=f"also write the model card {NAME}.md there")
    parser.add_argument("--json", action="store_true", help="print every figure as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Draw pictures, or measure and print."""
    if args.scan and not args.pictures:
        raise InputError("--scan says of which CT pictures are drawn; give --pictures DIR too.")
    if args.pictures:
        return _draw(args)
    found = _measured(args.data, args.phantoms, args.runs)
    if args.card:
        text = card(slice_reader().description, found, OPERATING_POINT)
        (args.card / f"{NAME}.md").write_text(text, encoding="utf-8")
    if args.json:
        sys.stdout.write(json.dumps(_as_json(found)) + "\n")
    else:
        _show(found)
    return 0


def _measured(data: Path, phantoms: int, runs: Path) -> Measured:
    """Everything, piece by piece."""
    from rich.console import Console

    names = (f"{NAME}.safetensors", f"{JUDGE}.safetensors", "outline.safetensors", "detection-scans.json")
    kept = Kept(runs, {name: sha256(resource("Models", name).read_bytes()).hexdigest() for name in names})
    listed = [(data / entry["folder"], entry["patient"], truth_of_listed(entry)) for entry in listed_scans()]
    with Console(stderr=True).status("slices") as status:
        slices = kept.get(
            "slices",
            lambda: outlined(slice_reader(), data / "lidc-slices").figures(),
            lambda found: {name: asdict(one) for name, one in found.items()},
            lambda found: {name: Estimate(**one) for name, one in found.items()},
        )
        counted, scans, synthetic = [], [], []
        for path, patient, truth in listed:
            status.update(str(path))
            name = patient.replace("/", "-")
            counted.append(
                kept.get(
                    f"steps-{name}",
                    lambda: steps(path.as_posix(), read(path, patient), truth),  # noqa: B023
                    asdict,
                    lambda found: Steps(**found),
                )
            )
            scans.append(kept.walked(f"scan-{name}", partial(walk_scan, path, truth, NAME)))
        status.update("crops")
        crops = kept.get(
            "crops", lambda: best_scores(data / "lidc-crops" / "crops.npz", NAME), np.ndarray.tolist, np.array
        )
        for seed in range(phantoms):
            status.update(f"phantom {seed + 1} of {phantoms}")
            synthetic.append(kept.walked(f"phantom-{seed}", partial(walk_phantom, seed, NAME)))
    return Measured(slices, counted, crops, scans, synthetic)


def _as_json(found: Measured) -> dict[str, object]:
    """Every figure by name."""
    least_mm = Settings().min_diameter_mm
    on_scans = figures(found.scans, OPERATING_POINT, least_mm)
    return {
        **{name: asdict(figure) for name, figure in found.slices.items()},
        "scans": [asdict(one) for one in found.steps],
        "crops_with_candidate": float(np.mean(found.crops > 0)),
        "crops_found": float(np.mean(found.crops >= OPERATING_POINT)),
        "road": {name: on_scans[name] for name in ("sensitivity", "false_marks_per_scan")},
        "phantoms": figures(found.phantoms, OPERATING_POINT, least_mm) if found.phantoms else {},
    }


def _show(found: Measured) -> None:
    console = page()
    show_table(console, "Slices of patients not seen", ("", "value", "n"), estimate_rows(found.slices))
    show_table(console, "Both merges, before the reduction network", STEP_COLUMNS, step_rows(found.steps))
    show_table(console, "The whole road", SCAN_COLUMNS, scan_rows(found.scans, OPERATING_POINT))
    crops, n = found.crops, len(found.crops)
    console.print(f"Crops: a candidate in {np.mean(crops > 0):.0%} of {n} nodules,", end=" ")
    console.print(f"scored {OPERATING_POINT:g} or more in {np.mean(crops >= OPERATING_POINT):.0%}.", "")
    if found.phantoms:
        rows = rows_of(figures(found.phantoms, OPERATING_POINT, Settings().min_diameter_mm))
        show_table(console, f"Phantoms, score {OPERATING_POINT:g} or more", ("", "value", "n"), rows)


def _draw(args: argparse.Namespace) -> int:
    """Pictures of candidates: at the known lesions of the listed scans, or the likeliest of any scan."""
    known = {args.data / entry["folder"]: entry for entry in listed_scans()}
    paths = args.scan or [path for path, entry in known.items() if entry["lesions"]]
    args.pictures.mkdir(parents=True, exist_ok=True)
    console = page()
    for number, path in enumerate(paths, 1):
        entry = known.get(path, {"patient": None, "lesions": []})
        seen = read(path, entry["patient"])
        chains = [seen.near(tuple(lesion["lps_mm"])) for lesion in entry["lesions"]]
        chains += [chain for chain in seen.merged.chains if chain not in chains]
        for rank, chain in enumerate((chain for chain in chains[:PICTURES] if chain), 1):
            file = args.pictures / f"scan-{number}-candidate-{rank}.png"
            file.write_bytes(png(picture(seen.slices, seen.probability, seen.merged, chain)))
            said = f"{chain.diameter_mm:.0f} mm wide, {chain.extent_mm:.0f} mm high, score {chain.score:.2f}"
            console.print(f"{file}: {path}, {said}", soft_wrap=True)
    return 0
