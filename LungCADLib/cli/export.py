"""`lungcad export`: CT slices as JPG or PNG pictures, for other programs; LungCAD never reads them."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Offer the folder, where the pictures go, and what they are like."""
    from LungCADLib.malignancy.preprocessing import Step
    from LungCADLib.training.picture_export import LOSS, SIDE, Kind, Window

    parser.epilog = LOSS
    parser.add_argument("input", metavar="DIR", help="a folder (searched with everything below it), DICOMDIR or file")
    parser.add_argument("--out", required=True, metavar="DIR", help="a new folder for the pictures and their manifest")
    parser.add_argument(
        "--window", choices=[one.value for one in Window], default=Window.LUNG.value,
        help="lung: -1350 to 150 HU; wide: -1000 to 400 HU (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--format",
        choices=[one.value for one in Kind],
        default=Kind.JPG.value,
        help="png loses no more (default: %(default)s)",
    )
    parser.add_argument("--size", type=_side, default=SIDE, metavar="PIXELS", help="of a side (default: %(default)s)")
    parser.add_argument(
        "--stretch", action="store_true",
        help="fill the picture whatever becomes of the proportions (default: proportions are kept in a black frame, "
        "and nothing is enlarged)",
    )  # fmt: skip
    parser.add_argument(
        "--preprocess", nargs="*", choices=[one.value for one in Step], default=[], metavar="STEP",
        help=f"of every slice, in this order: {', '.join(Step)}",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Write the pictures, and say what was left out and what they are not."""
    from LungCADLib.cli import screen
    from LungCADLib.errors import OutputError
    from LungCADLib.jobs.output import publishing
    from LungCADLib.malignancy.preprocessing import Step
    from LungCADLib.progress import Progress
    from LungCADLib.training.picture_export import LOSS, MANIFEST, Kind, Look, Window, export

    out = Path(args.out)
    if out.exists():
        raise OutputError(f"{out} is already there; remove it or choose another --out.")
    steps = tuple(Step(name) for name in args.preprocess)
    look = Look(Window(args.window), Kind(args.format), args.size, args.stretch, steps)
    messages = screen.messages()
    with screen.following(messages) as report:
        progress = Progress(report=report, shares={"export": 1.0})
        with progress.stage("export"), publishing(out.absolute()) as partial:
            done = export(Path(args.input), partial, look, progress)
    for uid, reason in done.left_out.items():
        messages.print(f"Left out: {uid}: {reason}.")
    for remark in done.remarks:
        messages.print(remark)
    messages.print(LOSS, style="yellow")
    screen.output().print(f"{done.pictures} pictures of {done.series} series: {out}; which is which: {out / MANIFEST}")
    return 0


def _side(text: str) -> int:
    if not text.isdecimal() or not 16 <= int(text) <= 4096:
        raise argparse.ArgumentTypeError(f"{text} is not a number of pixels from 16 to 4096")
    return int(text)
