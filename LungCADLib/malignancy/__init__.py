"""Opinions on how suspicious a nodule is: one verb, `rate`, and a registry of engines that answer it."""

from typing import Protocol

from LungCADLib.errors import InputError
from LungCADLib.malignancy import reader_model
from LungCADLib.study import Nodule, Opinion


class Engine(Protocol):
    """Anything that has an opinion on one measured nodule."""

    def __call__(self, nodule: Nodule) -> Opinion: ...


ENGINES: dict[str, Engine] = {reader_model.NAME: reader_model.rate}


def rater(engine: str) -> Engine:
    """The engine of a name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if engine not in ENGINES:
        raise InputError(f"There is no malignancy engine {engine!r}; choose one of {', '.join(ENGINES)}.")
    return ENGINES[engine]


def rate(nodule: Nodule, engine: str = reader_model.NAME) -> Opinion:
    """How suspicious a measured nodule is, in the words and with the tested performance of the engine asked.

    Raises
    ------
    InputError
        If there is no engine of that name.
    """
    return rater(engine)(nodule)
