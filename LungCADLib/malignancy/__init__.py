"""Opinions on how suspicious a nodule is: one function and a registry of engines."""

from typing import Protocol

from LungCADLib.engines import chosen, networks_can_run
from LungCADLib.malignancy import appearance, reader_model
from LungCADLib.masks import BoxMask
from LungCADLib.scan import Scan
from LungCADLib.study import Nodule, Opinion


class Engine(Protocol):
    """Anything that has an opinion on one measured nodule; some look at the CT where its outline lies."""

    def __call__(self, nodule: Nodule, scan: Scan | None = None, outline: BoxMask | None = None) -> Opinion: ...


ENGINES: dict[str, Engine] = {
    reader_model.NAME: reader_model.rate,
    appearance.NAME: appearance.rate,
    appearance.FUSION: appearance.rate_fused,
}

ALONGSIDE = (reader_model.NAME, appearance.NAME, appearance.FUSION)
"""Engines that have an opinion on every nodule, whichever is chosen; the published methods only when they are."""


def rater(engine: str) -> Engine:
    """The engine of a name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    return chosen(ENGINES, engine, "malignancy engine")


def raters(engine: str) -> list[Engine]:
    """The engine of a name, then those of `ALONGSIDE` that can run here: several opinions on one nodule.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    first = rater(engine)
    others = [ENGINES[name] for name in (ALONGSIDE if networks_can_run() else ALONGSIDE[:1])]
    return [first, *(other for other in others if other is not first)]
