"""`lungcad evaluate calm`: CALM beside the baselines of paper 003, on patients that were not learned from.

In `malignancy` mode the packaged networks judge LIDC's nodules, with the ruler beside them. In `nodule` mode, the
question that the paper's own data ask, five members and the baselines are trained (`lungcad train calm --mode nodule`
leaves the same runs), and one fold once more with generated nodules.
"""

import argparse
import json
import math
import sys
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from LungCADLib.compute import choose_device
from LungCADLib.evaluation.calm_card import SHOWN, baselines_card, card, gan_rows, gate_rows, parts_rows, rows
from LungCADLib.evaluation.calm_figures import Figures, figures
from LungCADLib.evaluation.screen import page, show_table
from LungCADLib.training.calm import MODES, RUNS, add_setting_arguments, settings_of

if TYPE_CHECKING:
    from LungCADLib.evaluation.calm_arms import Answers
    from LungCADLib.evaluation.calm_gan_arm import GanArm

DECIMALS = 6
"""Of figures in JSON."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    parser.add_argument(
        "--mode", choices=(*MODES, "both"), default="both", help="what is told from what (default: %(default)s)"
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", default=Path("../shared/data"),
        help="folder with lidc-slices; for nodule mode also lidc-crops and the CTs (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--runs", type=Path, metavar="DIR", default=RUNS,
        help="what was trained; the same command goes on from there (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, metavar="N", default=0, help="of everything random (default: 0)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="(default: auto)")
    parser.add_argument(
        "--gan", action=argparse.BooleanOptionalAction, default=True,
        help="in nodule mode, compare one fold with and without generated nodules (default: yes)",
    )  # fmt: skip
    parser.add_argument(
        "--augmentation", type=float, metavar="RATE", default=0.5,
        help="generated pictures for each real positive (default: %(default)s, the paper's)",
    )  # fmt: skip
    add_setting_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print every figure as one JSON object")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write the pictures of nodule mode there")
    parser.add_argument(
        "--card", type=Path, metavar="DIR",
        help="write the model card calm.md with its pictures there, and calm.json with its figures; what was not asked "
        "for is left out of both",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Train what is missing, ask, compare, print."""
    from rich.console import Console

    if args.card and args.mode == "nodule":
        args.usage_error("--card is of the packaged networks, which malignancy mode asks; leave --mode out")
    if args.augmentation <= 0:
        args.usage_error("--augmentation is a positive share; without generated nodules, say --no-gan")
    device, found = choose_device(args.device), {}
    answers, gan = None, None
    with Console(stderr=True).status("Reading") as status:
        if args.mode != "nodule":
            found["malignancy"] = _malignancy(args, device, status.update)
        if args.mode != "malignancy":
            found["nodule"], answers, gan = _nodule(args, device, status.update)
    folder = args.card or args.pictures
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        if answers:
            _write_pictures(folder, answers, gan)
    plain: dict[str, Any] = {name: plainly(of) for name, of in found.items()}
    if gan:
        plain["gan"] = plainly(gan.plain())
    if args.card:
        _write_card(args.card, found, gan, plain)
    if args.json:
        sys.stdout.write(json.dumps(plain) + "\n")
    else:
        _show(found, gan)
    return 0


def _malignancy(args: argparse.Namespace, device: str, follow: Any) -> Figures:
    from LungCADLib.evaluation.calm_arms import malignancy
    from LungCADLib.training.appearance_data import SLICES
    from LungCADLib.training.appearance_fusion import folds_of
    from LungCADLib.training.methods.cases import Cases
    from LungCADLib.training.slice_sets import read_slices

    cases = Cases.of_slices(read_slices(args.data / SLICES / "slices.npz", args.data / SLICES / "ratings.csv"))
    judged = malignancy(cases, folds_of(cases.patient), args.runs, args.seed, device, follow)
    follow("Drawing patients")
    return figures(judged)


def _nodule(args: argparse.Namespace, device: str, follow: Any) -> "tuple[Figures, Answers, GanArm | None]":
    from LungCADLib.evaluation.calm_arms import nodule
    from LungCADLib.evaluation.calm_gan_arm import FOLD, gan_arm
    from LungCADLib.training.calm_material import Material
    from LungCADLib.training.scan_patches import kept_patches

    patches = kept_patches(args.runs / "patches.npz", args.data, args.seed, follow)
    material = Material.of(patches.hu, patches.nodule, patches.patient, args.shift, args.turns)
    settings = settings_of(args, len(patches))
    judged, answers = nodule(patches, material, settings, args.runs, args.seed, device, follow)
    gan = None
    if args.gan:
        without, seed = answers.arms[FOLD], args.seed + FOLD
        gan = gan_arm(patches, material, without, settings, args.runs, seed, device, args.augmentation, follow)
    follow("Drawing patients")
    return figures(judged), answers, gan


def _write_pictures(folder: Path, answers: "Answers", gan: "GanArm | None") -> None:
    """The pictures of nodule mode."""
    from LungCADLib.evaluation.calm_pictures import generated, reconstructions, rounds

    learned = {f"fold {k}": arm.learned for k, arm in answers.arms.items()}
    (folder / "calm-rounds.svg").write_text(rounds(learned), encoding="utf-8")
    (folder / "calm-rebuilt.png").write_bytes(reconstructions(answers.arms[min(answers.arms)].prepared))
    if gan:
        (folder / "calm-generated.png").write_bytes(generated(gan.made, gan.real))


def _write_card(folder: Path, found: dict[str, Figures], gan: "GanArm | None", plain: dict[str, Any]) -> None:
    """`calm.md`, `calm-baselines.md`, and `calm.json` for the engine."""
    from LungCADLib.malignancy.calm import NAME, VERSION
    from LungCADLib.training.methods.calm import BASELINES_FILE
    from LungCADLib.weights import bundled_members, write_table

    others: dict[str, Any] = {name: plain[name] for name in ("nodule", "gan") if name in plain}
    table: dict[str, Any] = {"name": NAME, "version": VERSION, "figures": plain["malignancy"], **others}
    write_table(folder / f"{NAME}.json", table)
    (folder / f"{NAME}.md").write_text(card(bundled_members(NAME)[1], found, gan), encoding="utf-8")
    text = baselines_card(bundled_members(BASELINES_FILE)[1])
    (folder / f"{BASELINES_FILE}.md").write_text(text, encoding="utf-8")


def plainly(value: Any) -> Any:
    """Figures and what holds them as JSON can: numbers rounded, null where there is none."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {name: plainly(of) for name, of in value.items()}
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, DECIMALS)
    return value


def _show(found: dict[str, Figures], gan: "GanArm | None") -> None:
    console = page()
    for mode, of in found.items():
        show_table(console, SHOWN[mode].title, SHOWN[mode].columns, rows(of, mode))
        show_table(console, "AUC in parts", SHOWN[mode].part_columns, parts_rows(of, mode))
    if gan:
        show_table(console, "Generated nodules at the gates", ("", "generated", "unseen real"), gate_rows(gan))
        show_table(
            console, "One fold with and without generated nodules", ("", "with", "without", "difference"), gan_rows(gan)
        )
