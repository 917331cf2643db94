"""`lungcad train calm`: the autoencoder and CALM of paper 003, five times, and the baselines that stand beside them.

In `malignancy` mode (suspicious nodules against others) it writes `calm.safetensors`, the engine's networks, and
`calm-baselines.safetensors`; in `nodule` mode (nodules against other places in the lung, what the paper's data are),
`calm-nodule.safetensors`, which is no engine of the road. `lungcad evaluate calm` says how good they are.

The paper's letter, as far as it goes, is `--mode nodule --gan --passes 150 --shift 10 --no-turns --signed-weights
--last-round`.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from LungCADLib.compute import choose_device
from LungCADLib.malignancy.calm import NAME, VERSION
from LungCADLib.training.folds import FOLDS

if TYPE_CHECKING:
    from LungCADLib.training.calm_fit import CalmSettings
    from LungCADLib.training.calm_material import Material

SHIFT_PIXELS = 10
"""The largest shift that patches are kept with room for."""

MODES = ("malignancy", "nodule")
RUNS = Path("runs") / NAME


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    parser.add_argument(
        "--data", type=Path, metavar="DIR", default=Path("../shared/data"),
        help="folder with lidc-slices; for --mode nodule also lidc-crops and the CTs (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path(), help="where to write (default: here)")
    parser.add_argument(
        "--runs", type=Path, metavar="DIR", default=RUNS,
        help="checkpoints and TensorBoard logs; the same command goes on from there (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--mode", choices=MODES, default=MODES[0], help="what is told from what (default: %(default)s)")
    parser.add_argument(
        "--folds", type=int, nargs="+", choices=range(FOLDS), metavar="K", default=list(range(FOLDS)),
        help="train only these of the five; files are written when all are asked for (default: all)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, metavar="N", default=0, help="of everything random (default: 0)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="(default: auto)")
    parser.add_argument(
        "--gan", action=argparse.BooleanOptionalAction, default=False,
        help="add generated positives, as the paper does; four minutes more for each fold (default: no)",
    )  # fmt: skip
    parser.add_argument(
        "--augmentation", type=float, metavar="RATE", default=0.5,
        help="with --gan: generated pictures for each real positive (default: %(default)s, the paper's)",
    )  # fmt: skip
    add_setting_arguments(parser)


def add_setting_arguments(parser: argparse.ArgumentParser) -> None:
    """How the autoencoder and the loop learn; each default is our reading, each option the paper's or its other."""
    parser.add_argument(
        "--passes", type=int, metavar="N",
        help="passes over the data for each stage of the autoencoder; the paper's are 150 (default: a few)",
    )  # fmt: skip
    parser.add_argument(
        "--shift", type=int, metavar="PIXELS", default=2, choices=range(SHIFT_PIXELS + 1),
        help="by which copies of patches are moved at most; the paper's is 10 (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--turns", action=argparse.BooleanOptionalAction, default=True,
        help="turn and mirror copies of patches, too, which the paper does not (default: yes)",
    )  # fmt: skip
    parser.add_argument(
        "--fine-tune", type=int, metavar="STEPS", default=400,
        help="batches in which the encoder learns from the labels before CALM does; the paper says that some data is "
        "used for it, not how; 0 leaves the encoder as the autoencoder made it (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--padding", choices=("same", "valid"), default="same", help="(default: %(default)s)")
    parser.add_argument(
        "--noise", choices=("none", "gaussian", "binomial"), default="none",
        help="that the autoencoder must undo (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--corruption", type=float, metavar="V", default=0.1,
        help="amount of --noise: standard deviation, or share of pixels (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--signed-weights", action="store_true", help="the paper's dissimilarity, which may be negative"
    )
    parser.add_argument(
        "--last-round", action="store_true", help="keep the last round, as the paper does, not the best on others"
    )
    parser.add_argument("--rounds", type=int, metavar="N", default=200, help="of CALM at most (default: %(default)s)")


def settings_of(args: argparse.Namespace, patches: int) -> "CalmSettings":
    """What the command line says, for so many patches in training."""
    from LungCADLib.training.cae import CaeSettings
    from LungCADLib.training.calm_fit import CalmSettings
    from LungCADLib.training.calm_loop import LoopSettings

    said: dict[str, Any] = {"padding": args.padding, "noise": args.noise, "corruption": args.corruption}
    cae = CaeSettings(**said) if args.passes is None else CaeSettings.of_passes(args.passes, patches, **said)
    loop = LoopSettings(rounds=args.rounds, signed=args.signed_weights, last=args.last_round)
    return CalmSettings(cae, loop, args.fine_tune)


def gather(args: argparse.Namespace, follow: Callable[[str], None]) -> "tuple[Material, Any]":
    """The material of the mode asked for and the fold (n,) of each patch."""
    from LungCADLib.training.appearance_data import SLICES
    from LungCADLib.training.appearance_fusion import folds_of
    from LungCADLib.training.calm_material import Material
    from LungCADLib.training.methods.calm import material_of
    from LungCADLib.training.methods.cases import Cases
    from LungCADLib.training.scan_patches import kept_patches
    from LungCADLib.training.slice_sets import read_slices

    if args.mode == "nodule":
        patches = kept_patches(args.runs / "patches.npz", args.data, args.seed, follow)
        material = Material.of(patches.hu, patches.nodule, patches.patient, args.shift, args.turns)
        return material, patches.fold
    cases = Cases.of_slices(read_slices(args.data / SLICES / "slices.npz", args.data / SLICES / "ratings.csv"))
    return replace(material_of(cases), shift=args.shift, turned=args.turns), folds_of(cases.patient)


def run(args: argparse.Namespace) -> int:
    """Train what is not trained yet; write the files when all five are there."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from LungCADLib.training.calm_baselines import alone, on_features
    from LungCADLib.training.calm_fit import fit_member
    from LungCADLib.training.calm_gan import enlarged
    from LungCADLib.training.methods.calm import PACKAGED, to_package

    if args.augmentation <= 0:
        args.usage_error("--augmentation is a positive share; without generated pictures, say --no-gan")
    device = choose_device(args.device)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    members, baselines = [], []
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("Reading", total=len(args.folds))
        material, folds = gather(args, lambda what: progress.update(task, description=f"Reading {what}"))
        for turn, k in enumerate(args.folds):
            progress.update(task, description=f"CALM, fold {k}", completed=turn)
            folder = args.runs / (args.mode + ("-gan" if args.gan else "")) / f"fold-{k}"
            learned, seed = material.only(folds != k), args.seed + k
            if args.gan:
                learned = enlarged(learned, args.augmentation, folder / "gan", seed, device)
            settings = settings_of(args, len(material))
            network, _, prepared = fit_member(
                learned, settings, folder, seed, device,
                lambda share, turn=turn: progress.update(task, completed=turn + 0.8 * share),  # type: ignore[misc]
            )  # fmt: skip
            members.append(network.state_dict())
            if args.mode == "malignancy" and args.padding == "same":
                own: dict[str, Any] = {}
                for name in PACKAGED:
                    one = (
                        alone(name, prepared.learned, prepared.apart, args.padding, folder / name, seed, device)
                        if name == "cnn"
                        else on_features(name, prepared, seed)
                    )
                    own |= to_package(one, name)
                baselines.append(own)
    return _write(args, members, baselines, len(material), len(set(material.patient.tolist())))


def _write(args: argparse.Namespace, members: list, baselines: list, patches: int, patients: int) -> int:
    """Write the files if all five are there, and say so."""
    from rich.console import Console

    from LungCADLib.training.methods.calm import BASELINES_FILE
    from LungCADLib.weights import write_members

    out = Console(highlight=False, soft_wrap=True)
    if sorted(args.folds) != list(range(FOLDS)):
        out.print("Trained; the files will be written when all five folds are asked for.")
        return 0
    description = {
        "network": "CalmNetwork", "version": VERSION, "mode": args.mode, "patches": patches, "patients": patients,
        "seed": args.seed, "gan": args.gan, "padding": args.padding, "noise": args.noise,
        "data": "LIDC-IDRI, CC BY 3.0" + ("; TCIA CTs, CC BY 3.0 and 4.0" if args.mode == "nodule" else ""),
    }  # fmt: skip
    name = NAME if args.mode == "malignancy" else f"{NAME}-nodule"
    args.out.mkdir(parents=True, exist_ok=True)
    for file, states, network in ((name, members, "CalmNetwork"), (BASELINES_FILE, baselines, "baselines")):
        if states:
            path = args.out / f"{file}.safetensors"
            write_members(path, states, {**description, "network": network})
            out.print(f"{path}: {FOLDS} networks, {path.stat().st_size / 1e6:.1f} MB.")
    out.print(f"Test them with `lungcad evaluate {NAME}`.")
    return 0
