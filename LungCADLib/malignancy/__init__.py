"""Opinions on how suspicious a nodule is: one function and a registry of engines."""

from typing import Protocol

from LungCADLib.engines import chosen, networks_can_run
from LungCADLib.malignancy import appearance, calm, cnn_2d, ensemble, lung_rads_cnn, membership, reader_model
from LungCADLib.masks import BoxMask
from LungCADLib.scan import Scan
from LungCADLib.study import Nodule, Opinion


class Engine(Protocol):
    """Anything that has an opinion on one measured nodule; some look at the CT where its outline lies."""

    def __call__(self, nodule: Nodule, scan: Scan | None = None, outline: BoxMask | None = None) -> Opinion: ...


def _rate_together(nodule: Nodule, scan: Scan | None = None, outline: BoxMask | None = None) -> Opinion:
    """The ensemble's opinion, made of what its members say."""
    return ensemble.combine([ENGINES[name](nodule, scan, outline) for name in ensemble.members()])


ENGINES: dict[str, Engine] = {
    reader_model.NAME: reader_model.rate,
    appearance.NAME: appearance.rate,
    appearance.FUSION: appearance.rate_fused,
    ensemble.NAME: _rate_together,
    cnn_2d.NAME: cnn_2d.rate,
    calm.NAME: calm.rate,
    membership.NAME: membership.rate,
    lung_rads_cnn.NAME: lung_rads_cnn.rate,
}

ALONGSIDE = (reader_model.NAME, appearance.NAME, appearance.FUSION)
"""Engines that have an opinion on every nodule, whichever is chosen; the others only when they are."""


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
