"""`lungcad compare`: every method on the same nodules, folds and measures, in one table."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from LungCADLib.evaluation.compare_run import Compared, How
    from LungCADLib.evaluation.compare_sets import Design

_SLICES, _PATCHES = Path("lidc-slices/slices.npz"), Path("luna16-patches/patches.npz")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Offer the data, the methods, and where results go."""
    data = parser.add_argument_group("data", "cross-validated by patient, or one set to learn from and one to test on")
    data.add_argument("--slices", type=Path, metavar="FILE", help="slices.npz to learn from, and to cross-validate on")
    data.add_argument("--ratings", type=Path, metavar="FILE", help="of --slices (default: ratings.csv beside it)")
    data.add_argument("--patches", type=Path, metavar="FILE", help="patches.npz, judged by what learned from --slices")
    data.add_argument("--table", type=Path, metavar="FILE", help="of --patches (default: patches.csv beside it)")
    data.add_argument(
        "--test-slices", type=Path, metavar="FILE", help="slices.npz of other patients: one test, no folds"
    )
    data.add_argument(
        "--test-ratings", type=Path, metavar="FILE", help="of --test-slices (default: ratings.csv beside it)"
    )
    data.add_argument(
        "--data", type=Path, metavar="DIR", default=Path("../shared/data"),
        help=f"without --slices: the folder that holds {_SLICES.parent} and {_PATCHES.parent} (default: %(default)s)",
    )  # fmt: skip
    data.add_argument(
        "--folds", type=Path, metavar="FILE",
        help="CSV with the columns patient and fold (default: lidc-folds.csv, or five made here)",
    )  # fmt: skip

    how = parser.add_argument_group("how")
    how.add_argument(
        "--methods", metavar="KEY,KEY", help="only these beside the ruler (default: all; 'list' says which)"
    )
    how.add_argument(
        "--retrain", action="store_true",
        help="train in every fold, where by default the bundled member that has not seen the patients answers; "
        "with --test-slices every method is trained anyway, and only the ensemble's members may be bundled ones",
    )  # fmt: skip
    how.add_argument("--seed", type=int, metavar="N", default=0, help="of everything random (default: 0)")
    how.add_argument("--scale", type=_positive, metavar="X", default=1.0, help="share of the usual training, for a try")
    how.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="(default: auto)")
    how.add_argument(
        "--workers", type=int, metavar="N", help="processes with one thread each (default: one per core; 1 on a GPU)"
    )
    how.add_argument(
        "--resamples", type=int, metavar="N", default=2000, help="draws of patients (default: %(default)s)"
    )

    out = parser.add_argument_group("results")
    out.add_argument("--json", action="store_true", help="print one JSON object by method, and nothing else")
    out.add_argument("--out", type=Path, metavar="DIR", help="write compare.html and compare.csv there")
    out.add_argument(
        "--card", type=Path, metavar="DIR",
        help="write compare.md with its pictures there, and the ensemble: ensemble.json and ensemble.md",
    )  # fmt: skip
    out.add_argument(
        "--runs", type=Path, metavar="DIR", default=Path("runs/compare"),
        help="checkpoints and answers; the same command goes on from there, so delete it after a change of the code "
        "(default: %(default)s)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Compare; 0 if every method asked for has its figures."""
    if args.methods == "list":
        return _list_methods()
    _check(args)
    how = _how(args)
    design = _design(args)
    compared = _compare(design, how)
    from LungCADLib.evaluation import compare_words as words

    if args.out:
        from LungCADLib.evaluation.compare_page import page

        args.out.mkdir(parents=True, exist_ok=True)
        for name, content in (("compare.html", page(compared)), ("compare.csv", words.as_csv(compared))):
            partial = args.out / f"{name}.partial"
            partial.write_text(content, encoding="utf-8")
            partial.replace(args.out / name)
    if args.card:
        from LungCADLib.evaluation.compare_card import write_card

        write_card(compared, args.card)
    if args.json:
        import json

        sys.stdout.write(json.dumps(words.plain(compared)) + "\n")
    else:
        _show(compared, args.out)
    for warning in words.loud(compared):
        sys.stderr.write(f"lungcad: {warning}\n")
    for key, error in compared.errors.items():
        sys.stderr.write(f"lungcad: {words.title_of(key)} has no figures: {error}\n")
    return 1 if compared.errors else 0


def _list_methods() -> int:
    from LungCADLib.evaluation.compare_run import title_of
    from LungCADLib.training.methods import METHODS, ensemble

    for key in (*METHODS, ensemble.KEY):
        sys.stdout.write(f"{key:<16} {title_of(key)}\n")
    return 0


def _check(args: argparse.Namespace) -> None:
    for table, of in (("ratings", "slices"), ("table", "patches"), ("test_ratings", "test_slices")):
        if getattr(args, table) and not getattr(args, of):
            names = (name.replace("_", "-") for name in (table, of))
            args.usage_error("argument --{}: belongs to --{}; name that file, too".format(*names))
    if args.test_slices and (args.patches or args.folds):
        args.usage_error("argument --test-slices: goes without --patches and --folds, which are for cross-validation")
    if args.card and (args.slices or args.test_slices or args.patches):
        args.usage_error(
            "argument --card: tells of the data that the weights were made with; name its folder with --data"
        )
    if (args.workers is not None and args.workers < 1) or args.resamples < 2:
        args.usage_error("--workers must be 1 or more, --resamples 2 or more")


def _how(args: argparse.Namespace) -> "How":
    from LungCADLib.compute import choose_device, cores
    from LungCADLib.engines import chosen
    from LungCADLib.evaluation.compare_run import How
    from LungCADLib.training.methods import METHODS, ensemble

    known = {key: key for key in (*METHODS, ensemble.KEY)}
    asked = args.methods.split(",") if args.methods else known
    methods = tuple(chosen(known, key.strip(), "method") for key in asked)
    device = choose_device(args.device)
    workers = args.workers or (cores() if device == "cpu" else 1)
    return How(methods, args.runs, args.seed, device, args.scale, workers, args.resamples)


def _design(args: argparse.Namespace) -> "Design":
    from LungCADLib.evaluation.compare_sets import crossed, held_out

    def pair(path: Path, table: Path | None, name: str) -> tuple[Path, Path]:
        return path, table or path.with_name(name)

    slices = pair(args.slices or args.data / _SLICES, args.ratings, "ratings.csv")
    if args.test_slices:
        return held_out(slices, pair(args.test_slices, args.test_ratings, "ratings.csv"), args.seed, args.retrain)
    patches = args.patches or (None if args.slices else args.data / _PATCHES)
    second = None if patches is None else pair(patches, args.table, "patches.csv")
    return crossed(slices, second, args.folds, args.seed, args.retrain)


def _compare(design: "Design", how: "How") -> "Compared":
    """With a bar that tells the time left, or, where nobody watches, a line for each piece on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from LungCADLib.evaluation.compare_run import compare, pieces

    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    work = pieces(design, how)
    shares: dict[tuple[str, str], float] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("Comparing", total=sum(piece.weight for piece in work))

        def told(piece: object, share: float) -> None:
            from LungCADLib.evaluation.compare_work import Piece

            assert isinstance(piece, Piece)
            shares[piece.method, piece.part] = share * piece.weight
            bar.update(task, completed=sum(shares.values()), description=f"{piece.method}, {piece.part}")
            if share == 1 and not console.is_terminal:
                console.print(f"{piece.method}, {piece.part}: done ({len(shares)} of {len(work)})")

        return compare(design, how, told)


def _show(compared: "Compared", out: Path | None) -> None:
    from LungCADLib.evaluation import compare_words as words
    from LungCADLib.evaluation.screen import page, show_table

    console = page()
    for name, result in compared.results.items():
        show_table(console, words.SETS[name], words.COLUMNS, words.table(result))
        show_table(console, "AUC among nodules alike in size", words.PART_COLUMNS, words.parts(result))
        show_table(console, "More", words.MORE_COLUMNS, words.more(compared, result))
        for sentence in words.verdict(result):
            console.print(sentence)
        console.print()
    for note in words.notes(compared):
        console.print(note)
    if out:
        console.print(f"Page: {out / 'compare.html'}", f"Table: {out / 'compare.csv'}", sep="\n")


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value
