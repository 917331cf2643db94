"""Data sets as their publishers lay them out: recognized, checked case by case, and read one case at a time.

Each set is a module behind a name of `SETS`. A new one needs a module with a `SET` (see `layout.DataSet`) and a line
here.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from LungCADLib.engines import chosen
from LungCADLib.errors import InputError

if TYPE_CHECKING:
    from LungCADLib.training.datasets.layout import DataSet

SETS: dict[str, str] = {
    "lidc-idri": "LungCADLib.training.datasets.lidc_idri",
    "luna16": "LungCADLib.training.datasets.luna16",
    "lung-rads": "LungCADLib.training.datasets.lung_rads",
    "dsb2017": "LungCADLib.training.datasets.dsb2017",
    "own": "LungCADLib.training.datasets.own",
}
"""Name to module, in the order in which a folder is tried: the one that takes any CT with an outline comes last."""

COMMANDS: dict[str, str] = {
    "check": "LungCADLib.training.datasets.check",
    "convert": "LungCADLib.training.datasets.convert",
    "list": "LungCADLib.training.datasets.list_sets",
}
"""`lungcad data NAME` and the module that offers it through `add_arguments` and `run`; imported when asked for."""


def data_set(name: str) -> "DataSet":
    """The data set of a name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    found: DataSet = import_module(chosen(SETS, name, "data set")).SET
    return found


def recognize(folder: Path) -> "DataSet":
    """The data set whose layout a folder has.

    Raises
    ------
    InputError
        If it has none; the message says what each would look like.
    """
    sets = [data_set(name) for name in SETS]
    if not folder.exists():
        raise InputError(f"{folder} does not exist; check the path.")
    for one in sets:
        if one.recognizes(folder):
            return one
    expected = "; ".join(f"{one.name}: {one.expects}" for one in sets)
    raise InputError(f"{folder} has the layout of no data set known here. Expected one of these: {expected}.")
