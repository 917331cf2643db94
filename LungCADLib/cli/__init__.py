"""The command `lungcad`: which commands there are, how they end, and what the person is told when they fail.

Each command is a module with `add_arguments(parser)` and `run(args) -> int`, imported only when it is asked for.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from LungCADLib import __version__
from LungCADLib.errors import Cancelled, InputError, OutputError

COMMANDS = {
    "analyze": "find, outline, measure and categorize the nodules of a chest CT",
    "compare": "train or load every method and line them up on the same nodules, the ruler first",
    "explain": "show where the networks looked, for one nodule",
    "export": "write CT slices as JPG or PNG pictures, for other programs",
    "series": "list the series in a folder of DICOM files",
    "phantom": "write a synthetic chest CT with known nodules",
    "models": "list the engines and the weights that come with LungCAD",
    "schema": "print the JSON Schema of study.json",
}
GROUPS = {
    "data": ("LungCADLib.training.datasets", "list, check and convert public data sets and your own"),
    "train": ("LungCADLib.training", "make a bundled model again from its data"),
    "evaluate": ("LungCADLib.evaluation", "print how well a model or engine does, by an exact protocol"),
}
"""Commands with commands of their own: the package whose `COMMANDS` says which module is behind each name."""


class Exit(IntEnum):
    """What `lungcad` answers to the shell."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    INPUT = 3
    OUTPUT = 4
    CANCELLED = 130


_EXIT_CODES = """exit codes:
  0    done
  1    an error inside LungCAD, or a package or memory it needs is missing (--debug shows where)
  2    the command line is wrong
  3    the input cannot be used; the message names the file and the reason
  4    the results cannot be written
  130  stopped by Ctrl-C or a signal; nothing partial is left

For research; not a medical device."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `lungcad` with these arguments (the process's own if None) and return its exit code.

    Raises
    ------
    SystemExit
        With code 2 where the command line is wrong, and 0 after --help and --version.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    try:
        with _signals_as_interrupts():
            args = _parser(words).parse_args(words)
            code: int = args.run(args)
            sys.stdout.flush()
            return code
    except InputError as error:
        return _fail(Exit.INPUT, str(error), debug)
    except OutputError as error:
        return _fail(Exit.OUTPUT, str(error), debug)
    except BrokenPipeError:
        # The reader of our output left (`| head`); what Python flushes at exit must go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OUTPUT
    except (KeyboardInterrupt, Cancelled):
        return _fail(Exit.CANCELLED, "Stopped.", debug)
    except Exception as error:
        return _fail(Exit.INTERNAL, _what_broke(error), debug)


def _what_broke(error: Exception) -> str:
    from LungCADLib.jobs.failures import of_error

    failed = of_error(error)
    if failed.kind == "missing":
        return f"{failed.message.partition(';')[0]}; pip install 'lungcadlib[networks,scene,train]'."
    return failed.message + (" (--debug shows where)" if failed.kind == "internal" else "")


def _parser(words: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lungcad",
        description="Reads a chest CT for lung nodules.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"lungcad {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    choices = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        _add_command(choices, name, f"LungCADLib.cli.{name}", summary, words)
    for name, (package, summary) in GROUPS.items():
        group = choices.add_parser(name, help=summary, description=_sentence(summary))
        chosen, rest = _first_word(words)
        if chosen == name:
            members = group.add_subparsers(metavar="NAME", required=True)
            for member, module in import_module(package).COMMANDS.items():
                _add_command(members, member, module, _about(module), rest)
    return parser


def _add_command(
    choices: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    module_name: str,
    summary: str,
    words: list[str],
) -> None:
    """Offer a command; the module behind it is imported only if the command line names it."""
    parser = choices.add_parser(name, help=summary, description=_sentence(summary))
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    if _first_word(words)[0] == name:
        module = import_module(module_name)
        module.add_arguments(parser)
        parser.set_defaults(run=module.run, usage_error=parser.error)


def _about(module_name: str) -> str:
    """What the first line of a command's module says behind its colon; the module is read, not imported."""
    spec = find_spec(module_name)
    assert spec is not None and spec.origin is not None
    with Path(spec.origin).open(encoding="utf-8") as file:
        return file.readline().partition(": ")[2].strip().rstrip('".')


def _first_word(words: list[str]) -> tuple[str | None, list[str]]:
    """The first word that is not an option, and what follows it."""
    for position, word in enumerate(words):
        if not word.startswith("-"):
            return word, words[position + 1 :]
    return None, []


def _sentence(summary: str) -> str:
    return summary[0].upper() + summary[1:] + "."


def _fail(code: Exit, message: str, debug: bool) -> Exit:
    if debug:
        import traceback

        traceback.print_exc()
    # A name may hold a line break; the message stays one line.
    sys.stderr.write(f"lungcad: {' '.join(message.splitlines())}\n")
    return code


@contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """A polite kill or a closed terminal ends a run like Ctrl-C, so that whoever cleans up does it once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    # Only where nobody else said what the signal means: `nohup` has SIGHUP ignored.
    ours = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ours = [number for number in ours if signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
