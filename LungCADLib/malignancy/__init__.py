"""Opinions on how suspicious a nodule is: one function and a registry of engines."""

from typing import Protocol

from LungCADLib.engines import chosen
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
    return chosen(ENGINES, engine, "malignancy engine")
