"""The FROC curve as an SVG picture with a logarithmic axis of false marks per scan."""

import numpy as np

from LungCADLib.evaluation.froc import RATES, Froc

WIDE, HIGH, LEFT, BELOW = 420, 260, 44, 34
DRAWN = 300
"""Points of the curve that are drawn."""


def svg(curve: Froc) -> str:
    """The curve from 1/8 to 8 false marks per scan."""
    reach = np.log2(RATES[-1] / RATES[0])

    def x(rate: float) -> float:
        return LEFT + float(np.log2(rate / RATES[0]) / reach) * (WIDE - LEFT - 10)

    def y(share: float) -> float:
        return HIGH - BELOW - share * (HIGH - BELOW - 10)

    some = np.unique(np.geomspace(1, len(curve.rates), DRAWN).astype(int) - 1)
    line = " ".join(f"{x(curve.rates[i]):.1f},{y(curve.sensitivity[i]):.1f}" for i in some)
    parts = [f'<text x="{x(rate):.1f}" y="{HIGH - 18}" text-anchor="middle">{rate:g}</text>' for rate in RATES] + [
        f'<path d="M{LEFT} {y(s):.1f}H{WIDE - 10}" stroke="#ddd"/><text x="{LEFT - 6}" y="{y(s) + 3:.1f}" '
        f'text-anchor="end">{s:g}</text>'
        for s in (0, 0.2, 0.4, 0.6, 0.8, 1)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" font-family="sans-serif" font-size="10">'
        f'{"".join(parts)}<polyline points="{line}" fill="none" stroke="#0a5" stroke-width="2"/>'
        f'<text x="{(LEFT + WIDE) / 2}" y="{HIGH - 4}" text-anchor="middle">false marks per scan (CPM {curve.cpm:.3f})'
        "</text></svg>\n"
    )
