"""Loss and accuracy by epoch as an SVG picture: what was learned from against what was held out."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEARNED, HELD_OUT = "#0072b2", "#d55e00"
"""Okabe and Ito's blue and vermilion (https://jfly.uni-koeln.de/color/)."""

_WIDE, _HIGH, _LEFT, _TOP, _GAP = 300, 220, 48, 34, 70
_TICKS = 5

Curve = Sequence[Sequence[float]]
"""Epochs, each with loss and accuracy, then those of what was held out."""


def svg(curves: Sequence[Curve]) -> str:
    """Every member's course faintly, their mean as a line.

    Parameters
    ----------
    curves
        One for each member, of the same number of epochs.
    """
    values = np.array(curves, float)
    epochs = values.shape[1]
    width, height = _LEFT + 2 * _WIDE + _GAP + 20, _TOP + _HIGH + 64
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12" role="img" aria-label="Loss and accuracy by epoch">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    highest = float(np.ceil(4 * max(0.1, np.percentile(values[..., (0, 2)], 99))) / 4)
    for panel, (title, low, high) in enumerate((("cross entropy", 0.0, highest), ("accuracy", 0.5, 1.0))):
        left = _LEFT + panel * (_WIDE + _GAP)
        parts += _frame(title, left, low, high, epochs)
        for color, column in ((LEARNED, panel), (HELD_OUT, 2 + panel)):
            parts += [_line(one, left, low, high, color, 0.25, 1) for one in values[..., column]]
            parts.append(_line(values[..., column].mean(axis=0), left, low, high, color, 1, 2.2))
    words = ((LEARNED, "learned from (altered, with dropout)"), (HELD_OUT, "held out"))
    for i, (color, label) in enumerate(words):
        x, y = _LEFT + 270 * i, height - 8
        parts.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{color}"/>')
        parts.append(f'<text x="{x + 16}" y="{y}">{label}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _frame(title: str, left: float, low: float, high: float, epochs: int) -> list[str]:
    parts = [
        f'<rect x="{left}" y="{_TOP}" width="{_WIDE}" height="{_HIGH}" fill="none" stroke="#888"/>',
        f'<text x="{left}" y="{_TOP - 10}">{title}</text>',
        f'<text x="{left + _WIDE / 2}" y="{_TOP + _HIGH + 32}" text-anchor="middle">epoch</text>',
        f'<text x="{left}" y="{_TOP + _HIGH + 16}" text-anchor="middle">1</text>',
        f'<text x="{left + _WIDE}" y="{_TOP + _HIGH + 16}" text-anchor="middle">{epochs}</text>',
    ]
    for tick in np.linspace(low, high, _TICKS + 1):
        y = _TOP + _HIGH * (1 - (tick - low) / (high - low))
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.2f}</text>')
    return parts


def _line(
    values: NDArray[np.float64], left: float, low: float, high: float, color: str, opacity: float, width: float
) -> str:
    x = left + _WIDE * np.linspace(0, 1, len(values)) if len(values) > 1 else np.array([left])
    y = _TOP + _HIGH * (1 - (np.clip(values, low, high) - low) / (high - low))
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return (
        f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="{width}" opacity="{opacity}" '
        'stroke-linejoin="round"/>'
    )
