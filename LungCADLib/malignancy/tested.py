"""How well an opinion did when it was tested, in one sentence with the ruler beside it."""

from collections.abc import Mapping
from typing import Any


def tested_sentence(figures: Mapping[str, Any], ending: str = "") -> str:
    """Of the figures that come with an engine, on LIDC slices.

    Parameters
    ----------
    figures
        `auc`, `auc_ruler`, `auc_8_15_mm` and `auc_ruler_8_15_mm`, each with `value`, `low`, `high` and `n`; values are
        None where there were too few nodules.
    ending
        Of the names of the model's own figures, where several models were tested together: `auc_fusion` for "_fusion".
    """

    def said(name: str) -> str:
        figure = figures[name]
        if figure["value"] is None:
            return "too few to say"
        return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"

    return (
        f"AUC {said(f'auc{ending}')}; the ruler (long axis) {said('auc_ruler')}: on the largest slice of "
        f"{figures['auc']['n']} LIDC nodules of patients not seen (three or more readers, median rating not 3). "
        f"Among those of 8 to 15 mm: {said(f'auc{ending}_8_15_mm')}; the ruler {said('auc_ruler_8_15_mm')}"
    )
