"""What the panel says of an exam and of a nodule, as HTML without colors, so that it reads in light and dark."""

from collections.abc import Iterable
from html import escape

from slicer.i18n import tr as _

from LungCADLib.columns import RATED, as_text
from LungCADLib.study import Advice, Margin, Nodule, Opinion, Risk, Study

_LOBES = {"upper": "U", "middle": "M", "lower": "L"}


def short_place(nodule: Nodule) -> str:
    """Lung and lobe as radiologists abbreviate them: RUL, RML, RLL, LUL, LLL; R or L where the lobe is not known."""
    side = {"right": "R", "left": "L"}.get(nodule.location.side, "?")
    lobe = _LOBES.get(nodule.location.lobe)
    return f"{side}{lobe}L" if lobe else side


def risk_text(risk: Risk | None) -> str:
    """A risk in percent; nothing where the equation does not apply."""
    return "" if risk is None or risk.value is None else _percent(risk.value)


def exam_html(study: Study) -> str:
    """The exam's category and what is recommended, each guideline in its words."""
    exam = study.exam
    number = len(study.counted)
    found = _("1 nodule") if number == 1 else _("{count} nodules").format(count=number)
    lines = [
        f"<p><big><b>Lung-RADS {escape(exam.lung_rads.category)}</b></big> &nbsp; {escape(found)}<br>"
        f"{escape(exam.lung_rads.management)}</p>"
    ]
    lines += [f"<p>{_advice(advice)}</p>" for advice in (exam.fleischner, exam.bts)]
    return "".join(lines)


def lungs_html(study: Study) -> str:
    """The lungs' volumes, while nodules are still looked for."""
    text = _("Lungs found: right {right} ml, left {left} ml. Looking for nodules …")
    return f"<p>{escape(text.format(right=round(study.lungs.right_ml), left=round(study.lungs.left_ml)))}</p>"


def warnings_html(study: Study) -> str:
    """Why to be careful with the whole result; empty where there is no reason."""
    if not study.warnings:
        return ""
    return f"<p><b>{escape(_('Be careful:'))}</b></p>" + _list(map(escape, study.warnings))


def nodule_html(nodule: Nodule, study: Study) -> str:
    """Everything measured and said about one nodule."""
    parts = [f"<h3>{escape(nodule.id)}: {escape(nodule.location.description)}</h3>"]
    if nodule.warnings:
        parts.append(_list(f"<i>{escape(text)}</i>" for text in nodule.warnings))
    parts.append(_heading(_("Measurements")) + _table(_measurements(nodule)))
    if nodule.attributes:
        parts.append(_heading(_("As readers would rate it, 1 to 5")) + _table(_ratings(nodule)))
    parts.append(_heading(_("Suspicion")) + "".join(_opinion(opinion) for opinion in nodule.opinions))
    risks = [_risk(risk) for risk in nodule.risk.values()]
    parts.append(_heading(_("Risk of cancer, by published equations")) + _table(risks))
    advices = [advice for advice in (nodule.lung_rads, nodule.fleischner, nodule.bts) if advice]
    parts.append(_heading(_("Guidelines")) + "".join(f"<p>{_advice(advice)}{_why(advice)}</p>" for advice in advices))
    changes = [change for change in study.changes if change.nodule == nodule.id]
    if changes:
        rows = [(change.when.replace("T", " ")[:16], f"{change.action}: {change.who}") for change in changes]
        parts.append(_heading(_("Changed by people (UTC)")) + _table(rows))
    return "".join(parts)


def _measurements(nodule: Nodule) -> list[tuple[str, str]]:
    solid, margin, hu = nodule.solid, nodule.margin, nodule.attenuation_hu
    axes = _("{long} x {short} mm, mean {mean} mm")
    rows = [
        (_("Type"), nodule.density),
        (
            _("Axes"),
            axes.format(
                long=_mm(nodule.long_axis_mm), short=_mm(nodule.short_axis_mm), mean=_mm(nodule.mean_diameter_mm)
            ),
        ),
        (_("Longest in 3D"), f"{_mm(nodule.max_diameter_3d_mm)} mm"),
        (_("Volume, mass"), f"{nodule.volume_mm3:.0f} mm³, {nodule.mass_mg:.0f} mg"),
        (_("Attenuation"), _("mean {mean} HU, SD {sd}; {low} to {high} (5th to 95th percentile)").format(
            mean=round(hu.mean), sd=round(hu.sd), low=round(hu.p05), high=round(hu.p95))),
        (_("Calcification"), nodule.calcification),
        (_("Margin"), _margin(margin)),
        (_("Distance to the wall"), _("touches it") if nodule.location.juxtapleural
         else f"{_mm(nodule.location.wall_distance_mm)} mm"),
        (_("Lobe"), _("an estimate, confidence {confidence}").format(
            confidence=f"{nodule.location.lobe_confidence:.2f}")),
        (_("Sphericity"), _("{sphericity}, solidity {solidity}, elongation {elongation}").format(
            sphericity=f"{nodule.shape.sphericity:.2f}", solidity=f"{nodule.shape.solidity:.2f}",
            elongation=f"{nodule.shape.elongation:.2f}")),
        (_("Surface"), f"{nodule.shape.surface_mm2:.0f} mm²"),
        (_("Detection score"), f"{nodule.score:.2f}"),
    ]  # fmt: skip
    if nodule.location.perifissural_candidate:
        rows.append((_("Fissure"), _("may be a perifissural nodule")))
    if nodule.density == "part-solid":
        rows.insert(4, (_("Solid part"), _("{mean} mm, {share}% of the volume").format(
            mean=_mm(solid.mean_diameter_mm), share=round(100 * solid.fraction))))  # fmt: skip
    return rows


def _margin(margin: Margin) -> str:
    words = [word for word, yes in ((_("spiculated"), margin.spiculated), (_("lobulated"), margin.lobulated)) if yes]
    text = _("{words}; spiculation {spiculation}, lobulation {lobulation}, sharpness {sharpness} (0 to 1)")
    return text.format(
        words=", ".join(words) or _("smooth"),
        spiculation=f"{margin.spiculation:.2f}",
        lobulation=f"{margin.lobulation:.2f}",
        sharpness=f"{margin.sharpness:.2f}",
    )


def _ratings(nodule: Nodule) -> list[tuple[str, str]]:
    """How readers would rate a nodule, with the two ends of each scale."""
    return [
        (name.capitalize(), _("{value}: {meaning} (from {scale})").format(
            value=f"{attribute.value:.1f}", meaning=attribute.meaning, scale=RATED.get(name, "1 to 5")))
        for name, attribute in nodule.attributes.items()
    ]  # fmt: skip


def _opinion(opinion: Opinion) -> str:
    value = f"{opinion.value:.2f} ({opinion.low:.2f} to {opinion.high:.2f})"
    return (
        f"<p><b>{escape(opinion.model)}: {value}</b><br>{escape(opinion.meaning)}<br>"
        f"<small>{escape(_('Tested:'))} {escape(opinion.tested)}</small></p>"
    )


def _risk(risk: Risk) -> tuple[str, str]:
    if risk.value is None:
        return risk.equation, risk.note or _("does not apply")
    text = _percent(risk.value)
    if risk.assumed and risk.low is not None and risk.high is not None:
        unknown = ", ".join(name.replace("_", " ") for name in risk.assumed)
        text += _(" ({low} to {high}: unknown are {names})").format(
            low=_percent(risk.low), high=_percent(risk.high), names=unknown
        )
    return risk.equation, text


def _advice(advice: Advice) -> str:
    return f"<b>{escape(advice.guideline)}: {escape(advice.category)}.</b> {escape(advice.management)}"


def _why(advice: Advice) -> str:
    return f"<br><small>{escape(advice.reason)} ({escape(advice.source)})</small>" if advice.reason else ""


def _heading(text: str) -> str:
    return f"<h4>{escape(text)}</h4>"


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(
        f"<tr><td style='padding-right:10px'>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows
    )
    return f"<table cellspacing='0' cellpadding='1'>{cells}</table>"


def _list(items: Iterable[str]) -> str:
    # Qt indents lists by 40 pixels, which a narrow panel has no room for.
    return "<ul style='margin-left:-24px'>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def _mm(value: float) -> str:
    return f"{value:.1f}"


def _percent(part: float) -> str:
    return f"{as_text(round(100 * part, 1 if part < 0.1 else 0))}%"
