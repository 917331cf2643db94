"""A small scan and a study of it, made by hand: what tests of report, scene, panel and pipeline start from."""

from dataclasses import replace

import numpy as np

from LungCADLib.masks import BoxMask, LungLabel, Masks
from LungCADLib.scan import Geometry, Header, Scan
from LungCADLib.settings import Patient, Settings
from LungCADLib.study import (
    Advice,
    Attenuation,
    Exam,
    Location,
    LungsInfo,
    LungVerdict,
    Margin,
    Nodule,
    Opinion,
    Provenance,
    Risk,
    ScanInfo,
    Shape,
    SolidPart,
    Study,
)

OBLIQUE = np.array([[0.96, -0.28, 0.0], [0.28, 0.96, 0.0], [0.0, 0.0, 1.0]])


def geometry(shape: tuple[int, int, int] = (40, 64, 72), direction: np.ndarray | None = None) -> Geometry:
    return Geometry(shape, (2.5, 1.2, 1.1), (-40.0, -160.5, -300.25), np.eye(3) if direction is None else direction)


def ellipsoid(grid: Geometry, center: tuple[float, ...], radii_mm: tuple[float, ...]) -> np.ndarray:
    """bool (z, y, x): voxels within an ellipsoid around a voxel index, radii in mm along (z, y, x)."""
    axes = np.ogrid[tuple(slice(0, n) for n in grid.shape)]
    terms = [((axis - c) * s / r) ** 2 for axis, c, s, r in zip(axes, center, grid.spacing, radii_mm, strict=True)]
    return sum(terms) <= 1  # type: ignore[return-value]


def make_scan(grid: Geometry | None = None) -> Scan:
    """A box of soft tissue with two lungs, an airway and three nodules; the second and third overlap."""
    grid = grid or geometry()
    rng = np.random.default_rng(7)
    hu = np.full(grid.shape, 40, np.int16)
    lungs = make_lungs(grid)
    hu[lungs > 0] = -850
    hu[lungs == LungLabel.AIRWAY] = -1000
    for mask in make_nodules(grid).values():
        hu[mask.box][mask.mask] = 30
    hu += rng.normal(0, 15, grid.shape).astype(np.int16)
    header = Header(
        source="ct.nrrd",
        patient_id="P-7",
        patient_age_years=63,
        patient_sex="F",
        study_uid="1.2.3.4",
        series_uid="1.2.3.4.5",
        frame_of_reference_uid="1.2.3.4.6",
        study_date="20240229",
        series_description="Chest 2.5 & <lung>",
        manufacturer="Maker",
        kernel="B30f",
        slice_thickness_mm=2.5,
        kvp=120.0,
    )
    return Scan(hu, grid, header, warnings=("The slices are 2.5 mm thick.",))


def make_lungs(grid: Geometry) -> np.ndarray:
    z, y, x = grid.shape
    labels = np.zeros(grid.shape, np.uint8)
    size = (0.42 * z * grid.spacing[0], 0.38 * y * grid.spacing[1], 0.2 * x * grid.spacing[2])
    labels[ellipsoid(grid, (z / 2, y / 2, 0.26 * x), size)] = LungLabel.RIGHT
    labels[ellipsoid(grid, (z / 2, y / 2, 0.74 * x), size)] = LungLabel.LEFT
    labels[z // 2 :, y // 2 - 3 : y // 2 + 3, x // 2 - 2 : x // 2 + 2] = LungLabel.AIRWAY
    return labels


def make_nodules(grid: Geometry) -> dict[str, BoxMask]:
    z, y, x = grid.shape
    places = {
        "L1": ((z / 2, y / 2, 0.26 * x), (8.0, 7.0, 9.0)),
        "L2": ((z / 2 + 4, y / 2 + 6, 0.74 * x), (5.0, 5.0, 5.0)),
        "L3": ((z / 2 + 4, y / 2 + 6, 0.74 * x + 4), (4.0, 4.0, 3.0)),
    }
    return {id_: BoxMask((0, 0, 0), ellipsoid(grid, *place)).trimmed(1) for id_, place in places.items()}


def make_nodule(id_: str, mask: BoxMask, grid: Geometry, score: float = 0.9) -> Nodule:
    voxels = np.argwhere(mask.mask) + mask.start
    middle = voxels.mean(axis=0)
    center = grid.to_lps(middle)
    ends = [
        grid.to_lps(voxels.mean(axis=0) + np.array(step)) for step in ((0, 0, -5), (0, 0, 5), (0, -4, 0), (0, 4, 0))
    ]
    opinion = Opinion(
        model="reader-model",
        version="1",
        value=0.71,
        low=0.55,
        high=0.83,
        meaning="agreement with radiologists' suspicion, not a probability of cancer",
        tested="AUC 0.95 (0.93 to 0.97) in 100 nodules; the ruler alone: 0.94",
    )
    risk = Risk("Brock 2b", 0.12, 0.05, 0.31, {"age_years": 63.0, "sex": "female", "emphysema": None}, ["emphysema"])
    not_applicable = Risk("Herder", None, None, None, note="needs a PET")
    advice = Advice("Lung-RADS v2022", "4A", "CT in 3 months", "solid, 8 to < 15 mm at baseline", "ACR 2022")
    return Nodule(
        id=id_,
        score=score,
        center_lps_mm=tuple(float(v) for v in center),  # type: ignore[arg-type]
        long_axis_mm=17.9,
        short_axis_mm=14.2,
        mean_diameter_mm=16.05,
        max_diameter_3d_mm=18.4,
        volume_mm3=float(mask.mask.sum() * grid.voxel_mm3),
        mass_mg=2170.5,
        axes_lps_mm=[tuple(float(v) for v in end) for end in ends],  # type: ignore[misc]
        density="solid",
        calcification="none",
        attenuation_hu=Attenuation(30.1, 15.2, -20.0, 88.0, 4.0, 30.0, 55.0),
        solid=SolidPart(17.9, 14.2, 16.05, 2100.0, 1.0),
        shape=Shape(830.0, 0.93, 0.97, 0.79, 17.5, 200.0, 0.95),
        margin=Margin(0.8, 0.1, 0.2, False, False),
        location=Location("right", "upper", 0.8, 12.5, False, False, "right upper lobe, central"),
        suspicion=opinion,
        opinions=[opinion, replace(opinion, model="ruler", meaning="size alone")],
        risk={"brock_2b": risk, "herder": not_applicable},
        lung_rads=advice,
        fleischner=replace(advice, guideline="Fleischner 2017", category="solid > 8 mm", source="Radiology 2017"),
        bts=replace(advice, guideline="BTS 2015", category="Brock > 10%", source="Thorax 2015"),
        warnings=["The slices are thick, for this size", 'Says "careful"'],
    )


def make_study(scan: Scan) -> Study:
    """A study of `make_scan`'s scan, with masks."""
    grid = scan.geometry
    masks = Masks(grid, make_lungs(grid), make_nodules(grid))
    nodules = [
        make_nodule(id_, mask, grid, score)
        for (id_, mask), score in zip(masks.nodules.items(), (0.93, 0.61, 0.4), strict=True)
    ]
    for nodule in nodules[1:]:
        nodule.location = replace(nodule.location, side="left", lobe="lower", description="left lower lobe")
    nodules[2].suspicion, nodules[2].lung_rads, nodules[2].risk = None, None, {}
    first = nodules[0]
    assert first.lung_rads and first.fleischner and first.bts
    volumes = [float((masks.lungs == label).sum() * grid.voxel_mm3 / 1000) for label in (1, 2, 3)]
    verdict = LungVerdict("doubtful", ["The right lung is small."])
    study = Study(
        scan=ScanInfo(
            scan.header, grid.shape, grid.spacing, grid.origin, tuple(float(v) for v in np.ravel(grid.direction))
        ),
        lungs=LungsInfo("classical", verdict, volumes[0] + volumes[1], *volumes),
        nodules=nodules,
        exam=Exam(first.lung_rads, first.fleischner, first.bts),
        warnings=[*scan.warnings, "Brock assumes no emphysema <unless> said."],
        timing_s={"read": 0.4, "lungs": 3.25, "candidates": 5.0},
        provenance=Provenance(
            lungcad="0.1.0",
            created="2024-03-01T12:00:00+00:00",
            versions={"numpy": "2.4.0"},
            weights={"reader_model.json": "ab" * 32},
            settings=Settings(patient=Patient(age_years=63.0, sex="female")),
            device="cpu",
        ),
    )
    study.masks = masks
    return study
