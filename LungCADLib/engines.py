"""How a stage's engine is chosen by name: one rule and one sentence for all stages."""

from collections.abc import Mapping
from typing import TypeVar

from LungCADLib.errors import InputError

Engine = TypeVar("Engine")


def chosen(engines: Mapping[str, Engine], name: str, what: str) -> Engine:
    """The engine of a name; `what` names the kind in the message.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in engines:
        raise InputError(f"There is no {what} named {name!r}; choose one of {', '.join(sorted(engines))}.")
    return engines[name]
