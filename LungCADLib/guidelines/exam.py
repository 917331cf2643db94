"""Every guideline on every nodule of a scan, and on the scan as a whole."""

from LungCADLib.guidelines import bts, fleischner, lung_rads
from LungCADLib.guidelines.conventions import looks_benign
from LungCADLib.guidelines.risk import NoduleInputs, risks
from LungCADLib.settings import Patient
from LungCADLib.study import Advice, Exam, Nodule, Risk

BENIGN_SHAPE_SOLIDITY = 0.85
"""[P] Oval, lentiform and triangular bodies are convex: volume over convex-hull volume is at least this."""

SUBSOLID = ("part-solid", "non-solid")

MASS_ABOVE_MM = 30.0
"""Fleischner and BTS define a nodule as at most 3 cm."""

MASS_NOTE = "longer than 30 mm, a mass rather than a nodule: refer without waiting for follow-up"
FISSURE_NOTE = "candidate perifissural lymph node: no follow-up if the reader confirms a typical one"


def assess(nodules: list[Nodule], patient: Patient, *, lungs_evaluable: bool = True) -> Exam:
    """Fill in each nodule's risks and guideline advice, in place, and say what they mean for the scan.

    Parameters
    ----------
    nodules
        Measured nodules of a first (baseline) scan; `risk`, `lung_rads`, `fleischner` and `bts` are overwritten.
    patient
        What is known of the patient. `pet_uptake` belongs to the most suspicious nodule: the highest Lung-RADS
        category, then the highest Brock 2b value.
    lungs_evaluable
        False where part or all of the lungs cannot be evaluated (Lung-RADS 0).

    Returns
    -------
    Exam
        Each guideline's word on the most suspicious nodule.
    """
    live = [nodule for nodule in nodules if not looks_benign(nodule.density, nodule.calcification)]
    n_subsolid = sum(nodule.density in SUBSOLID for nodule in live)
    for nodule in nodules:
        nodule.risk = risks(_risk_inputs(nodule, max(len(live), 1)), patient)
        nodule.lung_rads = lung_rads.classify(_finding(nodule))
        nodule.fleischner = fleischner.advise(
            patient,
            nodule.density,
            nodule.mean_diameter_mm,
            nodule.solid.mean_diameter_mm,
            multiple=(n_subsolid if nodule.density in SUBSOLID else len(live)) > 1,
            calcification=nodule.calcification,
            spiculated=nodule.margin.spiculated,
        )
        _add_notes(nodule, nodule.fleischner)
    order = sorted(nodules, key=_suspicion, reverse=True)
    for nodule in order[1:]:
        herder = nodule.risk["herder"]
        if herder.value is not None:
            note = f"The PET uptake given is that of the most suspicious nodule, {order[0].id}."
            nodule.risk["herder"] = Risk(herder.equation, None, None, None, note=note)
    for nodule in nodules:
        nodule.bts = bts.advise(
            nodule.density,
            nodule.long_axis_mm,
            nodule.volume_mm3,
            nodule.risk["brock_2b"],
            nodule.risk["herder"],
            calcification=nodule.calcification,
        )
        _add_notes(nodule, nodule.bts)
    return Exam(
        lung_rads.examination(
            [(nodule.id, nodule.lung_rads) for nodule in order if nodule.lung_rads], lungs_evaluable=lungs_evaluable
        ),
        _fleischner_exam(order, patient),
        _bts_exam(order),
    )


def _risk_inputs(nodule: Nodule, n_nodules: int) -> NoduleInputs:
    lobe = nodule.location.lobe
    return NoduleInputs(
        diameter_mm=nodule.long_axis_mm,
        density=nodule.density,
        calcification=nodule.calcification,
        upper_lobe=None if lobe == "unknown" else lobe == "upper",
        spiculated=nodule.margin.spiculated,
        smooth_border=_smooth(nodule),
        n_nodules=n_nodules,
    )


def _finding(nodule: Nodule) -> lung_rads.Finding:
    return lung_rads.Finding(
        density=nodule.density,
        calcification=nodule.calcification,
        mean_mm=nodule.mean_diameter_mm,
        solid_mm=nodule.solid.mean_diameter_mm,
        juxtapleural=nodule.location.juxtapleural,
        smooth=_smooth(nodule),
        benign_shape=nodule.shape.solidity >= BENIGN_SHAPE_SOLIDITY,
        spiculated=nodule.margin.spiculated,
    )


def _add_notes(nodule: Nodule, advice: Advice) -> None:
    """Say beside follow-up advice what its table does not cover."""
    if advice.category in (fleischner.ACTIONS[0], fleischner.NONE, "discharge"):
        return
    if nodule.long_axis_mm > MASS_ABOVE_MM:
        advice.reason += f"; {MASS_NOTE}"
    if nodule.location.perifissural_candidate and nodule.density not in SUBSOLID:
        advice.reason += f"; {FISSURE_NOTE}"


def _smooth(nodule: Nodule) -> bool:
    """[P] Neither spiculated nor lobulated; also what PKU calls a clear border."""
    return not (nodule.margin.spiculated or nodule.margin.lobulated)


def _suspicion(nodule: Nodule) -> tuple[int, float, float]:
    category = nodule.lung_rads.category if nodule.lung_rads else "1"
    brock = nodule.risk["brock_2b"].value or 0.0
    return lung_rads.rank(category), brock, nodule.mean_diameter_mm


def _fleischner_exam(order: list[Nodule], patient: Patient) -> Advice:
    led = [(nodule.id, nodule.fleischner) for nodule in order if nodule.fleischner]
    if led:
        return _leading(led, [fleischner.urgency(advice) for _, advice in led])
    not_for = fleischner.why_not(patient)
    if not_for:
        return fleischner.not_applicable(not_for)
    return Advice(fleischner.GUIDELINE, fleischner.NONE, fleischner.NO, "no nodule", fleischner.SOURCE)


def _bts_exam(order: list[Nodule]) -> Advice:
    led = [(nodule.id, nodule.bts) for nodule in order if nodule.bts]
    if led:
        return _leading(led, [bts.urgency(advice) for _, advice in led])
    return Advice(bts.GUIDELINE, "discharge", bts.ACTIONS["discharge"], "no nodule", bts.SOURCE)


def _leading(advices: list[tuple[str, Advice]], urgencies: list[int]) -> Advice:
    """The most urgent advice, its reason naming the nodule; the most suspicious nodule's where several tie."""
    name, advice = advices[urgencies.index(max(urgencies))]
    return Advice(advice.guideline, advice.category, advice.management, f"{name}: {advice.reason}", advice.source)
