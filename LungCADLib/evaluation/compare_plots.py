"""The pictures of a comparison as SVG: areas under curves with their intervals, ROC curves, and reliability.

Lines and letters take the color of the text around them, so that they can be read on light and on dark paper.
"""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from LungCADLib.evaluation.classification import Figure, Labels, Scores, reliability, roc

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#a6761d", "#66a61e", "#e7298a")
"""Okabe and Ito's without black and yellow (https://jfly.uni-koeln.de/color/), then ColorBrewer's Dark2."""

RULER_COLOR = "currentColor"
BINS = 10
"""Of equal mass, in a reliability plot; the calibration error in the tables is of 15."""

_LEFT, _TOP = 46, 14
_ROW, _LETTER, _WIDE = 26, 6.6, 860


def colors(names: Sequence[str]) -> dict[str, str]:
    """One color for each method; the first is the ruler's."""
    return {name: RULER_COLOR if i == 0 else COLORS[(i - 1) % len(COLORS)] for i, name in enumerate(names)}


def svg(width: float, height: float, label: str, parts: Sequence[str], paper: bool = False) -> str:
    """A picture; `paper` draws it on white, for files that stand alone."""
    ground = f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>' if paper else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="currentColor" role="img" '
        f'aria-label="{escape(label)}">{ground}{"".join(parts)}</svg>'
    )


def areas(figures: Mapping[str, Figure], paper: bool = False) -> str:
    """Each method's AUC with its interval, by title; the first is the ruler, whose interval is shaded behind all."""
    names = 24 + _LETTER * max(len(title) for title in figures)
    rows = [(title, f) for title, f in figures.items() if np.isfinite(f.low)]
    if not rows:
        return ""
    low = max(0.0, np.floor(20 * min(f.low for _, f in rows)) / 20)
    high = min(1.0, np.ceil(20 * max(f.high for _, f in rows)) / 20)
    bottom = _TOP + _ROW * len(rows)

    def x(value: float) -> float:
        return names + (value - low) / max(high - low, 1e-9) * (_WIDE - names - 70)

    ruler, hues = rows[0][1], colors([title for title, _ in rows])
    parts = [
        f'<rect x="{x(ruler.low):.1f}" y="{_TOP}" width="{x(ruler.high) - x(ruler.low):.1f}" '
        f'height="{bottom - _TOP}" opacity="0.08"/>',
        f'<line x1="{x(ruler.value):.1f}" x2="{x(ruler.value):.1f}" y1="{_TOP}" y2="{bottom}" stroke="currentColor" '
        'stroke-dasharray="3 4" opacity="0.6"/>',
    ]
    for tick in np.arange(low, high + 1e-9, 0.05):
        parts.append(f'<text x="{x(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{tick:.2f}</text>')
    for i, (title, figure) in enumerate(rows):
        y = _TOP + _ROW * (i + 0.5)
        parts += [
            f'<text x="{names - 14:.1f}" y="{y + 4}" text-anchor="end">{escape(title)}</text>',
            f'<line x1="{x(figure.low):.1f}" x2="{x(figure.high):.1f}" y1="{y}" y2="{y}" stroke="{hues[title]}" '
            'stroke-width="3" stroke-linecap="round" opacity="0.55"/>',
            f'<circle cx="{x(figure.value):.1f}" cy="{y}" r="5" fill="{hues[title]}"/>',
            f'<text x="{x(high) + 14:.1f}" y="{y + 4}">{figure.value:.3f}</text>',
        ]
    return svg(_WIDE, bottom + 28, "Area under the ROC curve by method", parts, paper)


def roc_curves(labels: Labels, scores: Mapping[str, Scores], paper: bool = False) -> str:
    """The curves by title; the first is the ruler's, dashed."""
    hues, side = colors(list(scores)), 460
    legend = _LEFT + side - 34 - _LETTER * max(len(title) for title in scores)
    parts = [_frame(side, "1 - specificity", "sensitivity")]
    for title, of in reversed(list(scores.items())):
        wrong, right = roc(labels, of)
        points = " ".join(
            f"{_LEFT + side * a:.1f},{_TOP + side * (1 - b):.1f}" for a, b in zip(wrong, right, strict=True)
        )
        dashed = ' stroke-dasharray="6 4"' if hues[title] == RULER_COLOR else ""
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{hues[title]}" stroke-width="1.8" '
            f'stroke-linejoin="round"{dashed}><title>{escape(title)}</title></polyline>'
        )
    for i, title in enumerate(scores):
        y = _TOP + side - 22 * (len(scores) - i) + 8
        parts += [
            f'<rect x="{legend:.1f}" y="{y - 5}" width="18" height="4" fill="{hues[title]}"/>',
            f'<text x="{legend + 24:.1f}" y="{y + 1}">{escape(title)}</text>',
        ]
    return svg(_LEFT + side + 20, _TOP + side + 44, "ROC curves", parts, paper)


def reliability_plot(title: str, labels: Labels, said: Scores, color: str) -> str:
    """What was said against what was so, in bins of equal mass; below, how often each probability was said."""
    return svg(_PLOT_WIDE, _PLOT_HIGH, f"Reliability of {title}", [_reliability(labels, said, color)])


def reliability_sheet(labels: Labels, said: Mapping[str, Scores]) -> str:
    """The reliability plots of all methods, by title, as one picture on white paper."""
    hues, parts = colors(list(said)), []
    for i, (title, of) in enumerate(said.items()):
        x, y = i % _ABREAST * (_PLOT_WIDE + 14), i // _ABREAST * (_PLOT_HIGH + 34)
        parts.append(
            f'<g transform="translate({x} {y})"><text x="{_LEFT}" y="20" font-weight="600">{escape(title)}</text>'
            f'<g transform="translate(0 20)">{_reliability(labels, of, hues[title])}</g></g>'
        )
    rows = -(-len(said) // _ABREAST)
    wide, high = _ABREAST * (_PLOT_WIDE + 14), rows * (_PLOT_HIGH + 34)
    return svg(wide, high, "Reliability", parts, paper=True)


_PLOT, _BARS, _ABREAST = 200, 28, 3
_PLOT_WIDE, _PLOT_HIGH = _LEFT + _PLOT + 12, _TOP + _PLOT + _BARS + 46


def _reliability(labels: Labels, said: Scores, color: str) -> str:
    side, bars = _PLOT, _BARS
    points = [(_LEFT + side * mean, _TOP + side * (1 - share)) for mean, share, _ in reliability(labels, said, BINS)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    counts = np.histogram(said, np.linspace(0, 1, 21))[0] / max(len(said), 1)
    base = _TOP + side + bars + 8
    parts = [
        _frame(side, "", "share suspicious", dashes=True),
        f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>',
        *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{color}"/>' for x, y in points),
    ]
    for i, count in enumerate(counts / max(counts.max(), 1e-9)):
        height = bars * count
        parts.append(
            f'<rect x="{_LEFT + side * i / 20 + 1:.1f}" y="{base - height:.1f}" width="{side / 20 - 2:.1f}" '
            f'height="{height:.1f}" fill="{color}" opacity="0.5"/>'
        )
    parts += [
        f'<text x="{_LEFT + side * tick}" y="{base + 15}" text-anchor="middle">{tick:g}</text>' for tick in (0, 0.5, 1)
    ]
    parts.append(f'<text x="{_LEFT + side / 2}" y="{base + 31}" text-anchor="middle">stated suspicion</text>')
    return "".join(parts)


def _frame(side: float, below: str, beside: str, dashes: bool = False) -> str:
    """Axes from 0 to 1 with the diagonal."""
    dash = ' stroke-dasharray="4 4"' if dashes else ""
    parts = [
        f'<g stroke="currentColor" opacity="0.35"><rect x="{_LEFT}" y="{_TOP}" width="{side}" height="{side}" '
        f'fill="none"/><line x1="{_LEFT}" y1="{_TOP + side}" x2="{_LEFT + side}" y2="{_TOP}"{dash}/></g>',
        f'<text transform="translate(12 {_TOP + side / 2}) rotate(-90)" text-anchor="middle">{escape(beside)}</text>',
    ]
    for tick in (0.0, 0.5, 1.0):
        parts.append(f'<text x="{_LEFT - 6}" y="{_TOP + side * (1 - tick) + 4}" text-anchor="end">{tick:g}</text>')
        if below:
            parts.append(f'<text x="{_LEFT + side * tick}" y="{_TOP + side + 16}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text x="{_LEFT + side / 2}" y="{_TOP + side + 36}" text-anchor="middle">{escape(below)}</text>')
    return "".join(parts)
