"""report.html: one file a person reads, prints and sends on; no network, no script."""

from html import escape
from pathlib import Path

from LungCADLib.columns import as_text
from LungCADLib.report.figures import css_color, nodule_figures, overview_figures
from LungCADLib.resources import resource
from LungCADLib.scan import Scan
from LungCADLib.study import Advice, Nodule, Opinion, Risk, Study

RESEARCH_ONLY = "For research; not a medical device. Do not use for diagnosis or treatment."

Fact = tuple[str, str]


def write_page(study: Study, scan: Scan, path: Path) -> None:
    """Write the report as a single HTML file with its pictures inside."""
    path.write_text(page(study, scan), encoding="utf-8")


def page(study: Study, scan: Scan) -> str:
    """The report as HTML.

    Parameters
    ----------
    study
        What was found; without masks there are no pictures.
    scan
        The scan it was found in.
    """
    sections = [
        _head(study),
        _exam(study),
        _warnings(study.warnings),
        _overview(study, scan),
        _nodule_table(study.nodules),
        *(_nodule(study, scan, nodule, position) for position, nodule in enumerate(study.nodules)),
        _footer(study),
    ]
    title = escape("LungCAD report " + (study.scan.header.patient_id or ""))
    style = resource("report.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title.strip()}</title>\n<style>\n{style}</style></head>\n<body>"
        f'<div class="banner">{RESEARCH_ONLY}</div>\n<main>\n' + "\n".join(sections) + "\n</main></body></html>\n"
    )


def _head(study: Study) -> str:
    scan, header = study.scan, study.scan.header
    age = None if header.patient_age_years is None else f"{header.patient_age_years} years"
    patient = ", ".join(str(part) for part in (header.patient_id, age, header.patient_sex) if part)
    device = " ".join(part for part in (header.manufacturer, header.model) if part)
    thickness = "" if header.slice_thickness_mm is None else f"{as_text(header.slice_thickness_mm)} mm"
    z, y, x = scan.spacing_mm
    facts = [
        ("Patient", patient),
        ("Date of the study", _date(header.study_date)),
        ("Series", header.series_description or ""),
        ("Scanner", device),
        ("Kernel", header.kernel or ""),
        ("Slice thickness", thickness),
        ("Tube voltage", "" if header.kvp is None else f"{as_text(header.kvp)} kV"),
        ("Contrast", header.contrast or ""),
        ("Voxels (x, y, z)", " × ".join(str(n) for n in scan.shape[::-1])),
        ("Spacing (x, y, z)", f"{x:.3f} × {y:.3f} × {z:.3f} mm"),
        ("Source", header.source),
    ]
    lungs = study.lungs
    lung_facts = [
        ("Outline", {"ok": "looks right", "doubtful": "doubtful", "failed": "failed"}[lungs.verdict.status]),
        ("Both lungs", f"{lungs.volume_ml:,.0f} ml"),
        ("Right", f"{lungs.right_ml:,.0f} ml"),
        ("Left", f"{lungs.left_ml:,.0f} ml"),
        ("Airway", f"{lungs.airway_ml:,.0f} ml"),
        ("Engine", lungs.engine),
    ]
    count = len(study.nodules)
    found = "No nodule was found." if not count else f"{count} nodule{'s' if count > 1 else ''} found."
    return (
        f'<h1>Chest CT: lung nodules</h1><p class="quiet">{found}</p>'
        f'<section class="card"><h3>Scan</h3>{_facts(facts)}<h3>Lungs</h3>{_facts(lung_facts)}'
        f"{_warning_list(lungs.verdict.reasons)}</section>"
    )


def _date(text: str | None) -> str:
    """A DICOM date (YYYYMMDD) as ISO 8601; anything else as it stands."""
    if text and len(text) == 8 and text.isdigit():
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return text or ""


def _exam(study: Study) -> str:
    cards = "".join(
        f'<section class="card"><h3>{escape(advice.guideline)}</h3><p class="category">{escape(advice.category)}</p>'
        f'<p>{escape(advice.management)}</p><p class="quiet small">{escape(advice.reason)}<br>'
        f"{escape(advice.source)}</p></section>"
        for advice in (study.exam.lung_rads, study.exam.fleischner, study.exam.bts)
    )
    return f'<h2>What guidelines say about this scan</h2><div class="grid">{cards}</div>'


def _warnings(warnings: list[str]) -> str:
    return f"<h2>Warnings</h2>{_warning_list(warnings)}" if warnings else ""


def _overview(study: Study, scan: Scan) -> str:
    if study.masks is None:
        return ""
    return f"<h2>Overview</h2>{overview_figures(scan, study, study.masks)}"


def _nodule_table(nodules: list[Nodule]) -> str:
    if not nodules:
        return ""
    names = ("Nodule", "Place", "Density", "Long × short", "Mean", "Volume", "Suspicion", "Lung-RADS", "Score")
    numbers = set(names) - {"Nodule", "Place", "Density", "Lung-RADS"}
    head = "".join(f"<th{' class=number' if name in numbers else ''}>{name}</th>" for name in names)
    body = ""
    for position, nodule in enumerate(nodules):
        suspicion = "" if nodule.suspicion is None else f"{nodule.suspicion.value:.2f}"
        category = "" if nodule.lung_rads is None else nodule.lung_rads.category
        body += (
            f'<tr><td><span class="dot" style="background:{css_color(position)}"></span>'
            f'<a href="#nodule-{escape(nodule.id)}">{escape(nodule.id)}</a></td>'
            f"<td>{escape(nodule.location.description)}</td><td>{escape(nodule.density)}</td>"
            f'<td class="number">{nodule.long_axis_mm:.1f} × {nodule.short_axis_mm:.1f} mm</td>'
            f'<td class="number">{nodule.mean_diameter_mm:.1f} mm</td>'
            f'<td class="number">{nodule.volume_mm3:,.0f} mm³</td><td class="number">{suspicion}</td>'
            f'<td>{escape(category)}</td><td class="number">{nodule.score:.2f}</td></tr>'
        )
    return (
        f'<h2>Nodules</h2><div class="card scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _nodule(study: Study, scan: Scan, nodule: Nodule, position: int) -> str:
    pictures = "" if study.masks is None else nodule_figures(scan, study.masks, nodule, position)
    score = f"detection score {nodule.score:.2f}"
    return (
        f'<section class="card nodule" id="nodule-{escape(nodule.id)}"><header>'
        f'<h2><span class="dot" style="background:{css_color(position)}"></span>Nodule {escape(nodule.id)}</h2>'
        f'<span>{escape(nodule.location.description)}</span><span class="quiet">{score}</span></header>'
        f"{pictures}{_warning_list(nodule.warnings)}"
        f"<h3>Measurements</h3>{_facts(_measurements(nodule))}"
        f"{_opinions(nodule)}{_risks(nodule.risk)}{_advice(nodule)}</section>"
    )


def _measurements(nodule: Nodule) -> list[Fact]:
    hu, solid, shape, margin, place = (
        nodule.attenuation_hu,
        nodule.solid,
        nodule.shape,
        nodule.margin,
        nodule.location,
    )
    solid_text = f"{solid.long_axis_mm:.1f} × {solid.short_axis_mm:.1f} mm, {solid.volume_mm3:,.0f} mm³"
    relations = [
        word
        for word, applies in (
            ("touches the pleura", place.juxtapleural),
            ("may be perifissural", place.perifissural_candidate),
        )
        if applies
    ]
    return [
        ("Long × short axis", f"{nodule.long_axis_mm:.1f} × {nodule.short_axis_mm:.1f} mm"),
        ("Mean diameter", f"{nodule.mean_diameter_mm:.1f} mm"),
        ("Longest in 3D", f"{nodule.max_diameter_3d_mm:.1f} mm"),
        ("Volume", f"{nodule.volume_mm3:,.0f} mm³"),
        ("Mass", f"{nodule.mass_mg:,.0f} mg"),
        ("Density", nodule.density),
        ("Calcification", nodule.calcification),
        ("Attenuation", f"{hu.mean:.0f} ± {hu.sd:.0f} HU"),
        ("5th to 95th percentile", f"{hu.p05:.0f} to {hu.p95:.0f} HU"),
        ("Solid component", f"{solid_text} ({100 * solid.fraction:.0f}%)" if solid.volume_mm3 else "none"),
        ("Sphericity", f"{shape.sphericity:.2f}"),
        ("Solidity", f"{shape.solidity:.2f}"),
        ("Spiculation", f"{margin.spiculation:.2f}{', spiculated' if margin.spiculated else ''}"),
        ("Lobulation", f"{margin.lobulation:.2f}{', lobulated' if margin.lobulated else ''}"),
        ("Distance to the wall", f"{place.wall_distance_mm:.1f} mm"),
        ("Lobe (estimate)", f"{place.side} {place.lobe}, confidence {place.lobe_confidence:.2f}"),
        ("Relations", ", ".join(relations)),
        ("Center (LPS)", ", ".join(f"{v:.1f}" for v in nodule.center_lps_mm) + " mm"),
    ]


def _opinions(nodule: Nodule) -> str:
    opinions = [nodule.suspicion] if nodule.suspicion else []
    opinions += [opinion for opinion in nodule.opinions if opinion != nodule.suspicion]
    return "<h3>Opinions</h3>" + "".join(map(_opinion, opinions)) if opinions else ""


def _opinion(opinion: Opinion) -> str:
    low, high, value = (100 * min(max(v, 0.0), 1.0) for v in (opinion.low, opinion.high, opinion.value))
    return (
        f'<div class="opinion"><span class="value">{opinion.value:.2f}</span> '
        f'<span class="quiet">({opinion.low:.2f} to {opinion.high:.2f})</span> '
        f"{escape(opinion.model)} {escape(opinion.version)}: {escape(opinion.meaning)}"
        f'<div class="bar"><i style="left:{low:.1f}%;width:{max(high - low, 0):.1f}%"></i>'
        f'<b style="left:{value:.1f}%"></b></div>'
        f'<div class="quiet small">Tested: {escape(opinion.tested)}</div></div>'
    )


def _risks(risks: dict[str, Risk]) -> str:
    if not risks:
        return ""
    rows = "".join(
        f'<tr><td>{escape(risk.equation)}</td><td class="number">{_percent(risk.value)}</td>'
        f'<td class="number">{_range(risk)}</td><td class="small">{_inputs(risk)}</td></tr>'
        for risk in risks.values()
    )
    return (
        '<h3>Risk of malignancy</h3><div class="scroll"><table><thead><tr><th>Equation</th>'
        '<th class="number">Risk</th><th class="number">Range</th><th>Inputs</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}%"


def _range(risk: Risk) -> str:
    if risk.low is None or risk.high is None or not risk.assumed:
        return ""
    return f"{_percent(risk.low)} to {_percent(risk.high)}"


def _inputs(risk: Risk) -> str:
    """What went in, with what nobody gave marked as assumed; instead why the equation does not apply."""
    if risk.value is None:
        return f'<span class="quiet">{escape(risk.note)}</span>'
    words = []
    for name, value in risk.inputs.items():
        text = escape(_input(name, as_text(value)))
        words.append(f'<span class="assumed">{text} (assumed)</span>' if name in risk.assumed else text)
    return " · ".join(words)


def _input(name: str, value: str) -> str:
    """An input in words: "age_years" 63 is "age 63 years"."""
    for unit in ("years", "mm"):
        if name.endswith(f"_{unit}"):
            return f"{name.removesuffix(f'_{unit}').replace('_', ' ')} {value} {unit}"
    return f"{name.removeprefix('n_').replace('_', ' ')} {value}".strip()


def _advice(nodule: Nodule) -> str:
    said: list[Advice] = [a for a in (nodule.lung_rads, nodule.fleischner, nodule.bts) if a]
    if not said:
        return ""
    rows = "".join(
        f"<tr><td>{escape(a.guideline)}</td><td><b>{escape(a.category)}</b></td><td>{escape(a.management)}"
        f'<div class="quiet small">{escape(a.reason)}</div></td><td class="quiet small">{escape(a.source)}</td></tr>'
        for a in said
    )
    return (
        '<h3>Guidelines</h3><div class="scroll"><table><thead><tr><th>Guideline</th><th>Category</th>'
        f"<th>Recommends</th><th>Source</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _footer(study: Study) -> str:
    made = study.provenance
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    weights = ", ".join(f"{name} (SHA-256 {digest[:12]}…)" for name, digest in made.weights.items())
    timing = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in study.timing_s.items())
    lines = [
        f"LungCAD {made.lungcad}, {made.created}, on {made.device}",
        f"Versions: {versions}" if versions else "",
        f"Weights: {weights}" if weights else "",
        f"Time: {timing}" if timing else "",
        RESEARCH_ONLY,
    ]
    return f"<footer>{'<br>'.join(escape(line) for line in lines if line)}</footer>"


def _facts(facts: list[Fact]) -> str:
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts if value)
    return f'<dl class="facts">{items}</dl>'


def _warning_list(warnings: list[str]) -> str:
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<ul class="warnings">{items}</ul>' if items else ""
