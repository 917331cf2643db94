"""`lungcad models`: the engines each stage can run, the weights that come with LungCAD, and those it can get."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

# The option of `lungcad analyze` that takes the engine's name, and the stage whose registry has it.
_STAGES = (
    ("--lungs", "LungCADLib.lungs"),
    ("--detector", "LungCADLib.detection"),
    ("--outline", "LungCADLib.nodules"),
    ("--malignancy", "LungCADLib.malignancy"),
)

_EXAMPLES = """examples:
  lungcad models                                          what there is
  lungcad models license lung_nodule_ct_detection         whose it is and on what terms
  lungcad models download lung_nodule_ct_detection        asks before it downloads
  lungcad models download lungmask_r231 --accept-license  for scripts
  lungcad models import lungmask_r231 --from /media/stick without internet: a file brought by hand
  lungcad models check                                    SHA-256 of everything that is here
  lungcad models delete lung_nodule_ct_detection

environment:
  LUNGCAD_WEIGHTS              the folder downloads are kept in
  LUNGCAD_WEIGHTS_OFFLINE      a folder of files brought by hand; where it is set, nothing is ever downloaded
  LUNGCAD_BUNDLE_<NAME>        a folder of your own in place of a download, its name in capitals"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Offer the list, and what can be done with a download."""
    from LungCADLib.weights import BUNDLED, CATALOG

    parser.epilog, parser.formatter_class = _EXAMPLES, argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", action="store_true", help="print the list as one JSON object")
    parser.set_defaults(action=_list)
    actions = parser.add_subparsers(metavar="ACTION")

    def add(name: str, summary: str, action: Callable[[argparse.Namespace], None], names: Any, **more: Any) -> Any:
        one = actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", **more)
        one.add_argument("name", metavar="NAME", choices=tuple(names), help=", ".join(names))
        one.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        one.set_defaults(action=action)
        return one

    accept = add("download", "get a network from its publisher, after showing its license", _download, CATALOG)
    accept.add_argument(
        "--accept-license", "--accept-licence", action="store_true", help="agree to it without a question"
    )
    source = add("import", "take a network from a file or folder brought by hand", _import, CATALOG)
    source.add_argument("--from", dest="source", metavar="DIR", help="(default: $LUNGCAD_WEIGHTS_OFFLINE)")
    add("delete", "remove a downloaded network", _delete, CATALOG)
    add("license", "print on what terms a network may be used", _license, (*BUNDLED, *CATALOG), aliases=["licence"])
    check = actions.add_parser("check", help="compare the SHA-256 of every file of weights here with what it must be")
    check.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    check.set_defaults(action=_check)


def run(args: argparse.Namespace) -> int:
    """Do what was asked; without an action, print the list."""
    args.action(args)
    return 0


def _list(args: argparse.Namespace) -> None:
    """Print engines by stage, then weights with their SHA-256, then what can be downloaded."""
    from LungCADLib.weights import BUNDLED, CATALOG, bundled_files, cache_folder

    engines = list(_engines())
    bundled = bundled_files()
    states = {name: _state(name) for name in CATALOG}
    if args.json:
        about = {name: {"what": what, "license": asdict(license)} for name, (what, license) in BUNDLED.items()}
        found = {
            "engines": [dict(zip(("option", "engine", "what"), row, strict=True)) for row in engines],
            "bundled": [{**asdict(file), **about.get(Path(file.name).stem, {})} for file in bundled],
            "downloadable": [{**asdict(one), "state": states[name]} for name, one in CATALOG.items()],
            "cache": str(cache_folder()),
        }
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return

    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from LungCADLib.cli import screen

    console = screen.output()
    tables = (
        (("Option", "Engine", "What it is"), engines),
        (
            ("Bundled file", "KB", "SHA-256", "State"),
            [(file.name, f"{file.size / 1024:.0f}", file.sha256, file.state) for file in bundled],
        ),
        (
            ("Download", "MB", "License", "State", "What it is"),
            [(name, str(one.megabytes), str(one.license), states[name], one.what) for name, one in CATALOG.items()],
        ),
    )
    for head, rows in tables:
        table = Table(*head, box=SIMPLE_HEAD, pad_edge=False)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(f"Downloads are kept in {cache_folder()}; `lungcad models --help` says how to get them.")


def _engines() -> Iterator[tuple[str, str, str]]:
    for option, package in _STAGES:
        for name, engine in import_module(package).ENGINES.items():
            yield option, name, (engine.__doc__ or "").strip().split("\n")[0]


def _state(name: str) -> str:
    """Whether a download is here and whole."""
    from LungCADLib.errors import InputError
    from LungCADLib.weights import bundle_folder, is_installed

    if not is_installed(name):
        return "not here"
    try:
        bundle_folder(name)
    except InputError:
        return "damaged"
    return "here"


def _license(args: argparse.Namespace) -> None:
    from LungCADLib.cli import screen
    from LungCADLib.weights import BUNDLED, CATALOG

    license = CATALOG[args.name].license if args.name in CATALOG else BUNDLED[args.name][1]
    console = screen.output()
    console.print(f"License: {license}")
    console.print(f"Text: {license.url}")
    console.print(f"Attribution: {license.attribution}")
    if args.name in CATALOG:
        console.print(f"Published at: {CATALOG[args.name].page}")


def _download(args: argparse.Namespace) -> None:
    from LungCADLib.cli import screen
    from LungCADLib.weights import CATALOG, download

    _license(args)
    accepted = args.accept_license or _agrees(CATALOG[args.name].megabytes)
    with _receiving(args.name) as report:
        folder = download(args.name, license_accepted=accepted, report=report)
    screen.output().print(f"{args.name} is in {folder}")


def _agrees(megabytes: int) -> bool:
    """Ask the person, where one sits there."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"Accept this license and download {megabytes} MB? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


@contextmanager
def _receiving(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Shows a download: a moving bar in a terminal, nothing anywhere else."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from LungCADLib.cli import screen

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = screen.messages()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=None)
        yield lambda received, total: bar.update(task, completed=received, total=total)


def _import(args: argparse.Namespace) -> None:
    import os

    from LungCADLib.cli import screen
    from LungCADLib.errors import InputError
    from LungCADLib.weights import OFFLINE, import_files

    source = args.source or os.environ.get(OFFLINE)
    if not source:
        raise InputError(f"Say where the files are, with --from DIR or the environment variable {OFFLINE}.")
    _license(args)
    screen.output().print(f"{args.name} is in {import_files(args.name, Path(source))}")


def _delete(args: argparse.Namespace) -> None:
    from LungCADLib.cli import screen
    from LungCADLib.weights import delete

    delete(args.name)
    screen.output().print(f"{args.name} is deleted.")


def _check(args: argparse.Namespace) -> None:
    from LungCADLib.cli import screen
    from LungCADLib.errors import InputError
    from LungCADLib.weights import CATALOG, bundle_folder, bundled_files, is_installed

    console = screen.output()
    wrong = []
    for file in bundled_files():
        console.print(f"{file.name}: {file.state}")
        if file.state not in ("as released", "list"):
            wrong.append(f"{file.name} is {file.state}; install LungCAD again.")
    for name in filter(is_installed, CATALOG):
        try:
            console.print(f"{bundle_folder(name)}: as installed")
        except InputError as error:
            wrong.append(str(error))
    if wrong:
        raise InputError(" ".join(wrong))
