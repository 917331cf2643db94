"""`lungcad phantom`: a synthetic chest CT with known truth, to try LungCAD without a patient's data."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Offer where it goes and what is in it."""
    parser.add_argument("out", metavar="OUT", help="a file (.nrrd, .nii.gz, .nii, .mha), or a new folder for DICOM")
    parser.add_argument("--seed", type=_count, default=0, help="another patient, other nodules (default: %(default)s)")
    parser.add_argument("--nodules", type=_count, metavar="N", help="how many nodules (default: nine, of every kind)")
    parser.add_argument("--labels", action="store_true", help="also write the true outlines of lungs and nodules")


def run(args: argparse.Namespace) -> int:
    """Make the phantom and write it with its truth beside it."""
    from LungCADLib.cli import OutputError, screen
    from LungCADLib.jobs.output import publishing
    from LungCADLib.phantom import make_phantom, write_phantom
    from LungCADLib.progress import Progress

    out = Path(args.out)
    if out.exists():
        raise OutputError(f"{out} is already there; remove it or choose another name.")
    with screen.following(screen.messages()) as report:
        progress = Progress(report=report, shares={"phantom": 1.0})
        with progress.stage("phantom"):
            phantom = make_phantom(args.seed, nodules=args.nodules, progress=progress)
            with publishing(out.absolute().parent) as partial:
                written = write_phantom(partial / out.name, phantom, labels=args.labels)
    console = screen.output()
    for path in written:
        console.print(str(out.parent / path.name))
    return 0


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of zero or more")
    return int(text)
