"""How a stage's engine is chosen by name: one rule and one sentence for all stages."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TypeVar

from LungCADLib.errors import InputError

Engine = TypeVar("Engine")

AUTO = "auto"
"""Names a stage's network where PyTorch is installed, and what needs no PyTorch where it is not."""


def networks_can_run() -> bool:
    """Whether PyTorch, and what reads the weights, are installed; imports neither."""
    return all(find_spec(package) is not None for package in ("torch", "safetensors"))


def named(name: str, network: str, without_torch: str) -> str:
    """The name of an engine where `AUTO` may stand for it."""
    if name != AUTO:
        return name
    return network if networks_can_run() else without_torch


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
