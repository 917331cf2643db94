"""Reliability curves as an SVG picture: what was said against what was so."""

from collections.abc import Mapping
from html import escape

SIDE, MARGIN = 320, 44
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Okabe and Ito's, which all people can tell apart (https://jfly.uni-koeln.de/color/)."""

TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)

Curve = list[tuple[float, float, int]]
"""Mean probability, share of positives and count by bin, as `classification.reliability` gives them."""


def svg(curves: Mapping[str, Curve]) -> str:
    """The curves by name in one picture; the dashed line is where they would be if every probability were right."""
    height = SIDE + 2 * MARGIN + 18 * len(curves)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE + 2 * MARGIN} {height}" '
        'font-family="sans-serif" font-size="12" role="img" aria-label="Reliability of stated suspicion">',
        f'<rect width="{SIDE + 2 * MARGIN}" height="{height}" fill="white"/>',
        f'<rect x="{MARGIN}" y="{MARGIN}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#888"/>',
        f'<line x1="{MARGIN}" y1="{MARGIN + SIDE}" x2="{MARGIN + SIDE}" y2="{MARGIN}" stroke="#888" '
        'stroke-dasharray="4 4"/>',
    ]
    for tick in TICKS:
        x, y = _place(tick, tick)
        parts.append(f'<text x="{x:.1f}" y="{MARGIN + SIDE + 16}" text-anchor="middle">{tick:g}</text>')
        parts.append(f'<text x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    middle = MARGIN + SIDE / 2
    parts.append(f'<text x="{middle}" y="{MARGIN + SIDE + 34}" text-anchor="middle">stated suspicion</text>')
    parts.append(f'<text x="{MARGIN}" y="{MARGIN - 10}">share that the readers found suspicious</text>')
    for i, (name, curve) in enumerate(curves.items()):
        color = COLORS[i % len(COLORS)]
        points = [_place(stated, observed) for stated, observed, _ in curve]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in points]
        y = MARGIN + SIDE + 54 + 18 * i
        parts.append(f'<rect x="{MARGIN}" y="{y - 9}" width="10" height="10" fill="{color}"/>')
        parts.append(f'<text x="{MARGIN + 16}" y="{y}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _place(stated: float, observed: float) -> tuple[float, float]:
    return MARGIN + SIDE * stated, MARGIN + SIDE * (1 - observed)
