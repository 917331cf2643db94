"""Files of rated nodules on the command line: each --ratings belongs to the file named before it."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = {"crops": "lidc-crops/crops.npz", "vois": "lidc-vois/vois.npz", "slices": "lidc-slices/slices.npz"}
"""The kinds of files, in the order in which they are shown, and where each stands in a folder of data."""


@dataclass
class Files:
    """One set of nodules on disk."""

    nodules: Path
    ratings: Path | None = None

    @property
    def table(self) -> Path:
        """The ratings, by default beside the nodules."""
        return self.ratings or self.nodules.with_name("ratings.csv")


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says of the files to evaluate on."""
    for name in DATA:
        parser.add_argument(f"--{name}", type=Path, action=_InOrder, dest="files", metavar="FILE", help=f"{name}.npz")
    parser.add_argument(
        "--ratings", type=Path, action=_InOrder, dest="files", metavar="FILE",
        help="the table of the file named before it (default: ratings.csv beside that file)",
    )  # fmt: skip
    folders = ", ".join(path.partition("/")[0] for path in DATA.values())
    parser.add_argument(
        "--data", type=Path, metavar="DIR", default=Path("../shared/data"),
        help=f"without files: the folder that holds {folders} (default: %(default)s)",
    )  # fmt: skip


class _InOrder(argparse.Action):
    """Collects (option, path) pairs."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: Any, option: str | None = None
    ) -> None:
        before = getattr(namespace, self.dest) or []
        setattr(namespace, self.dest, [*before, (self.option_strings[0].lstrip("-"), value)])


def chosen_files(args: argparse.Namespace) -> dict[str, Files]:
    """The sets named on the command line, or all of the folder of data, in the order of `DATA`."""
    given: list[tuple[str, Path]] = args.files or []
    if not given:
        return {name: Files(args.data / path) for name, path in DATA.items()}
    # With a single set there is no doubt whose ratings they are, wherever they stand.
    if len(given) == 2:
        given = sorted(given, key=lambda pair: pair[0] == "ratings")
    sets: dict[str, Files] = {}
    last: Files | None = None
    for option, path in given:
        if option != "ratings":
            if option in sets:
                args.usage_error(f"--{option} is given twice; evaluate one file of each kind at a time")
            last = sets[option] = Files(path)
        elif last is None or last.ratings:
            args.usage_error(f"--ratings {path} must follow the --crops, --vois or --slices it belongs to")
        else:
            last.ratings = path
    return {name: sets[name] for name in DATA if name in sets}
