"""Which slices and patches an evaluation is asked about: said, checked and read alike by every command."""

import argparse
from pathlib import Path

from LungCADLib.training.appearance_data import PATCHES, SLICES
from LungCADLib.training.patch_sets import Patches, read_patches
from LungCADLib.training.slice_sets import Slices, read_slices


def add_file_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Offer files of slices and patches, their folder, and the model card `NAME.md`, which is of that folder alone."""
    parser.add_argument("--slices", type=Path, metavar="FILE", help="slices.npz")
    parser.add_argument(
        "--ratings", type=Path, metavar="FILE", help="of --slices (default: ratings.csv beside that file)"
    )
    parser.add_argument("--patches", type=Path, metavar="FILE", help="patches.npz")
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="of --patches (default: patches.csv beside that file)"
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", default=Path("../shared/data"),
        help=f"without files: the folder that holds {SLICES} and {PATCHES} (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--card", type=Path, metavar="DIR",
        help=f"write the model card {name}.md with its pictures there, and {name}.json with its figures",
    )  # fmt: skip


def check_files(args: argparse.Namespace) -> None:
    """End the command where its words do not fit each other."""
    if (args.ratings and not args.slices) or (args.table and not args.patches):
        args.usage_error("--ratings belongs to --slices, and --table to --patches; name that file, too")
    if args.card and (args.slices or args.patches):
        args.usage_error("--card tells of the data that the network was made with; name their folder with --data")


def read_files(args: argparse.Namespace, unnamed: bool = True) -> tuple[Slices | None, Patches | None]:
    """The slices and the patches asked for; where no file is named, those of the data folder if `unnamed`.

    Raises
    ------
    InputError
        If a file is missing, damaged or of another layout.
    """
    slices, patches = args.slices, args.patches
    if not slices and not patches and unnamed:
        slices, patches = args.data / SLICES / "slices.npz", args.data / PATCHES / "patches.npz"
    return (
        read_slices(slices, args.ratings or slices.with_name("ratings.csv")) if slices else None,
        read_patches(patches, args.table or patches.with_name("patches.csv")) if patches else None,
    )
