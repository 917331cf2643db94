"""compare.html: a comparison on one page that needs no network and no script."""

from html import escape

from LungCADLib.evaluation import compare_plots as plots
from LungCADLib.evaluation import compare_words as words
from LungCADLib.evaluation.compare_figures import RULER
from LungCADLib.evaluation.compare_run import Compared, Result, title_of
from LungCADLib.resources import resource

RESEARCH_ONLY = (
    "For research; not a medical device. Agreement with radiologists' suspicion, not a probability of cancer."
)

_STYLE = """
main { max-width: 1240px; }
td.number, th.number { text-align: right; white-space: nowrap; padding-right: 14px; }
td small { display: block; color: var(--quiet); font-size: 11.5px; }
figure svg { background: none; max-height: none; border-radius: 0; }
svg text { fill: currentColor; stroke: none; font: 12px system-ui, "Liberation Sans", sans-serif; }
.plots { display: grid; gap: 12px; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); }
.plots figcaption { font-weight: 600; color: var(--ink); }
.roc { max-width: 640px; margin: 0 auto; }
.verdict { font-size: 17px; }
.verdict p:last-child { font-weight: 650; }
.better { background: #009e7326; } .worse { background: #d55e0026; }
tr.ruler td { font-weight: 650; }
"""


def page(compared: Compared) -> str:
    """The whole page."""
    style = resource("report.css").read_text(encoding="utf-8") + _STYLE
    sections = [_head(compared), *(_set(compared, name, one) for name, one in compared.results.items())]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>LungCAD: methods compared</title>\n<style>\n{style}</style></head>\n<body>"
        f'<div class="banner">{RESEARCH_ONLY}</div>\n<main>\n' + "\n".join(sections) + "\n</main></body></html>\n"
    )


def _head(compared: Compared) -> str:
    said, loud = words.notes(compared), words.loud(compared)
    loud += [f"{title_of(key)} has no figures: {error}" for key, error in compared.errors.items()]
    warnings = "".join(f"<li>{escape(text)}</li>" for text in loud)
    quiet = "".join(f"<p>{escape(note)}</p>" for note in said if note not in loud)
    return (
        "<h1>Methods that tell suspicious lung nodules from others, compared</h1>"
        + (f'<ul class="warnings">{warnings}</ul>' if warnings else "")
        + f'<div class="quiet small">{quiet}</div>'
    )


def _set(compared: Compared, name: str, result: Result) -> str:
    comparison = result.comparison
    titles = {key: title_of(key) for key in result.figures}
    hues = plots.colors(list(titles))
    reliability = "".join(
        f"<figure>{plots.reliability_plot(title, comparison.labels, comparison.said[key], hues[key])}"
        f"<figcaption>{escape(title)}</figcaption></figure>"
        for key, title in titles.items()
    )
    scores = {title: comparison.scores[key] for key, title in titles.items()}
    verdict = "".join(f"<p>{escape(sentence)}</p>" for sentence in words.verdict(result))
    return (
        f"<h2>{escape(words.SETS[name])}</h2>"
        f'<section class="card verdict">{verdict}</section>'
        f'<section class="card"><h3>Area under the ROC curve; the ruler\'s is shaded</h3>'
        f"<figure>{plots.areas({titles[key]: f['auc'] for key, f in result.figures.items()})}</figure></section>"
        f'<section class="card scroll"><h3>Figures</h3>{_table(words.COLUMNS, words.table(result))}'
        f"<h3>Among nodules alike in size: AUC</h3>{_table(words.PART_COLUMNS, words.parts(result))}"
        f"<h3>More figures, and time</h3>{_table(words.MORE_COLUMNS, words.more(compared, result))}</section>"
        f'<section class="card"><h3>ROC curves</h3><figure class="roc">'
        f"{plots.roc_curves(comparison.labels, scores)}</figure></section>"
        f'<section class="card"><h3>Reliability: what was said against what was so</h3>'
        f'<div class="plots">{reliability}</div></section>'
        f'<section class="card scroll"><h3>Each against each: AUC of the row less that of the column</h3>'
        f"{_matrix(result)}</section>"
    )


def _table(columns: tuple[str, ...], rows: list[words.Row]) -> str:
    head = "".join(f"<th{' class=number' if i else ''}>{escape(name)}</th>" for i, name in enumerate(columns))
    ruler = title_of(RULER)
    body = "".join(
        f"<tr{' class=ruler' if row[0] == ruler else ''}>"
        + "".join(
            f'<td class="number">{_cell(cell)}</td>' if i else f"<td>{escape(cell)}</td>" for i, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str) -> str:
    """A figure with its interval in small letters below it."""
    value, _, interval = text.partition(" (")
    return f"{escape(value)}<small>{escape(interval.rstrip(')'))}</small>" if interval else escape(text)


def _matrix(result: Result) -> str:
    """Differences with their intervals and p-values; shaded where the interval excludes zero."""
    keys, pairs = list(result.figures), result.comparison.pairs()
    head = "".join(f'<th class="number">{escape(key)}</th>' for key in keys[:-1])
    body = ""
    for i, row in enumerate(keys[1:], 1):
        cells = ""
        for column in keys[:i]:
            found = pairs[column, row]
            kind = "better" if found.low > 0 else "worse" if found.high < 0 else ""
            cells += (
                f'<td class="number {kind}">{found.value:+.3f}<small>{found.low:+.3f} to {found.high:+.3f}</small>'
                f"<small>p {escape(words.p_text(found))}</small></td>"
            )
        body += f"<tr><td>{escape(title_of(row))}</td>{cells}{'<td></td>' * (len(keys) - 1 - i)}</tr>"
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>"
