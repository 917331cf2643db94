"""`lungcad evaluate lung-rads-cnn`: the Lung-RADS slice set's pipeline on patients it has not seen, or on the set.

On LIDC's slices (the default) the bundled members, or `--weights` of one's own training. With `--set` the network of a
Lung-RADS set on the set's test file. Neither is ever tested on the other's data: LIDC's images are in part in the set,
and nobody knows which.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from LungCADLib.compute import choose_device
from LungCADLib.errors import InputError
from LungCADLib.evaluation.lung_rads_cnn_card import card, rows, show
from LungCADLib.evaluation.lung_rads_cnn_figures import Found, Judged, figures, numbers, report
from LungCADLib.malignancy import lung_rads_cnn
from LungCADLib.malignancy.lung_rads_cnn import CLASSES, NAME, PIXEL_MM, SEGMENTED, SIDE_PIXELS, WHOLE
from LungCADLib.training.appearance_fusion import folds_of
from LungCADLib.training.datasets.lung_rads import SUSPICIOUS, read_slice_set
from LungCADLib.training.lung_rads_cnn import SET, SLICES, unseen_answers, unseen_probabilities
from LungCADLib.training.methods.cases import Cases
from LungCADLib.training.reader_fit import LEAST_READERS
from LungCADLib.training.slice_sets import read_slices
from LungCADLib.weights import bundled_members, read_members, write_table

Report = dict[str, dict[str, float]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    parser.add_argument("--slices", type=Path, metavar="FILE", help="slices.npz")
    parser.add_argument("--ratings", type=Path, metavar="FILE", help="of --slices (default: ratings.csv beside it)")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", default=Path("../shared/data"),
        help=f"without files: the folder that holds {SLICES} (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--set", type=Path, metavar="FILE.npz", help="a converted Lung-RADS set instead of LIDC's slices"
    )
    parser.add_argument(
        "--weights", type=Path, metavar="FILE",
        help="networks that `lungcad train lung-rads-cnn` wrote (default: those that come with LungCAD)",
    )  # fmt: skip
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="(default: auto)")
    parser.add_argument("--json", action="store_true", help="print every figure as one JSON object")
    parser.add_argument(
        "--card",
        type=Path,
        metavar="DIR",
        help=f"write {NAME}.md, the model card, and {NAME}.json with its figures there",
    )


def run(args: argparse.Namespace) -> int:
    """Ask the networks, compare, print."""
    if args.set and (args.slices or args.ratings or args.card):
        args.usage_error("--set is a test of its own: leave --slices, --ratings and --card out")
    if args.ratings and not args.slices:
        args.usage_error("--ratings belongs to --slices; name that file, too")
    if args.card and (args.slices or args.weights):
        args.usage_error(
            "--card tells of the bundled networks and the data they were made with; name these with --data"
        )
    members, said = read_members(args.weights) if args.weights else bundled_members(NAME)
    refuse_leak(str(args.weights or f"{NAME}.safetensors"), said, of_set=args.set is not None)
    device = choose_device(args.device)
    if args.set:
        found, classes, notes = on_set(args.set, members[0], said, device)
    else:
        path = args.slices or args.data / SLICES / "slices.npz"
        found, classes, notes = on_slices(path, args.ratings or path.with_name("ratings.csv"), args.weights, device)
    if args.card:
        _write_card(args.card, found, classes, said, notes)
    if args.json:
        sys.stdout.write(json.dumps({**numbers(found), "classes": classes, "notes": notes}) + "\n")
    else:
        show(rows(found), classes, notes)
    return 0


def refuse_leak(weights: str, said: dict[str, Any], of_set: bool) -> None:
    """Refuse to test on LIDC what has seen the Lung-RADS set, and the other way round.

    Raises
    ------
    InputError
        In either case.
    """
    learned = said.get("data") == SET
    if learned and not of_set:
        raise InputError(
            f"{weights} was trained on the Lung-RADS set, in which LIDC's images are without their patients' names; it "
            "cannot be tested on LIDC: give its own test file with --set."
        )
    if of_set and not learned:
        raise InputError(
            f"{weights} was trained on LIDC, whose images are in part in the Lung-RADS set, nobody knows which; the "
            "set cannot test it: give --weights of a network that was trained on the set's own training file."
        )


def on_slices(path: Path, ratings: Path, weights: Path | None, device: str) -> tuple[Found, Report, list[str]]:
    """Figures, a report by class, and what to know about them, on LIDC's slices.

    Raises
    ------
    InputError
        If no slice counts.
    """
    from LungCADLib.malignancy.lung_rads_cnn_network import network_of

    slices = read_slices(path, ratings)
    cases = Cases.of_slices(slices)
    cases = cases.only(cases.readers >= LEAST_READERS)
    if not len(cases):
        raise InputError("No slice has three readers and a median malignancy that is not 3; there is nothing to test.")
    if weights:
        networks = [network_of(state) for state in read_members(weights)[0]]
        table = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
    else:
        networks, table = list(lung_rads_cnn.networks()), lung_rads_cnn.packaged()
    answers = unseen_answers(networks, cases, device)
    segmented, whole = (unseen_probabilities(table, answers, cases.patient, name) for name in (SEGMENTED, WHOLE))
    drawn, truth = _outlines(networks, cases, device)
    judged = Judged(segmented, whole, cases.suspicious, cases.diameter_mm, drawn, truth, cases.patient)
    labels, said = ([CLASSES[int(of)] for of in column] for column in (cases.suspicious, segmented >= 0.5))
    strangers = int((folds_of(cases.patient) < 0).sum())
    notes = [
        f"{len(cases)} of {len(slices)} slices count: three or more readers, median malignancy not 3.",
        f"{len(cases) - strangers} are of patients in lidc-folds.csv, each judged by the one network of five, and by "
        f"coefficients, that have not seen the patient; {strangers} are of others, judged by all five, as in use.",
    ]
    return figures(judged), report(labels, said, CLASSES), notes


def _outlines(networks: list[Any], cases: Cases, device: str) -> tuple[np.ndarray, np.ndarray]:
    """Outlines (n, y, x) by the networks that have not seen the patient, and the readers', on the networks' grid."""
    import torch

    from LungCADLib.malignancy.lung_rads_cnn import outlined, still_views
    from LungCADLib.malignancy.slice_view import sampled

    folds = folds_of(cases.patient)
    drawn = np.zeros((len(cases), SIDE_PIXELS, SIDE_PIXELS), bool)
    for fold in set(folds.tolist()):
        at = folds == fold
        asked = networks if fold < 0 else networks[fold : fold + 1]
        drawn[at] = outlined(asked, still_views(cases.hu[at], cases.spacing_mm[at]), device) >= 0.5
    mask = torch.from_numpy(cases.mask.astype(np.float32))[:, None]
    middle = torch.tensor([n // 2 for n in cases.mask.shape[1:]], dtype=torch.float32).repeat(len(cases), 1)
    spacing = torch.from_numpy(cases.spacing_mm.astype(np.float32))[:, None].repeat(1, 2)
    truth = sampled(mask, middle, spacing, side=SIDE_PIXELS, pixel_mm=PIXEL_MM)[:, 0].numpy() >= 0.5
    return drawn, truth


def on_set(path: Path, state: Any, said: dict[str, Any], device: str) -> tuple[Found, Report, list[str]]:
    """Figures, a report by class, and what to know about them, on a converted Lung-RADS set.

    Raises
    ------
    InputError
        If it has a class that the network does not know.
    """
    from LungCADLib.malignancy.lung_rads_cnn_network import network_of
    from LungCADLib.training.lung_rads_cnn_set import asked

    slices, classes = read_slice_set(path), said["classes"]
    strange = sorted(set(slices.label.tolist()) - set(classes))
    if strange:
        raise InputError(f"{path} has the class {strange[0]}, which was not in the set the network was trained on.")
    chances, drawn, truth = asked(network_of(state), slices, said["side"], device)
    suspicious = np.isin(classes, list(SUSPICIOUS))
    segmented, whole = chances[:, :, suspicious].sum(axis=2)
    pixels = np.sqrt(4 / np.pi * slices.mask.sum(axis=(1, 2)))
    group = np.arange(len(slices)).astype(str)
    judged = Judged(segmented, whole, slices.suspicious, pixels, drawn, truth, group)
    named = [classes[i] for i in chances[0].argmax(axis=1)]
    notes = [
        "Positive is Lung-RADS 4A, 4B or 4X. The ruler is the diameter of the disc with the mask's area, in pixels: "
        "the set does not say how wide they are.",
        "Nobody knows which slices are of one patient: draws are of slices, so intervals are narrower than they should "
        "be, and a patient may be in both files.",
    ]
    return figures(judged, bands=False), report(slices.label.tolist(), named, classes), notes


def _write_card(folder: Path, found: Found, classes: Report, said: dict[str, Any], notes: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    data = lung_rads_cnn.packaged() | {"figures": {"slices": numbers(found)}}
    write_table(folder / f"{NAME}.json", data)
    parameters = sum(p.numel() for p in lung_rads_cnn.networks()[0].parameters())
    (folder / f"{NAME}.md").write_text(card(data, said, parameters, found, classes, notes), encoding="utf-8")
