"""report.html: one file, everything in it, nothing outside it; and the pictures it is made of."""

import base64
import re
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from study_factory import OBLIQUE, geometry, make_scan, make_study

from LungCADLib.masks import BoxMask
from LungCADLib.pictures import overviews, png, view, window
from LungCADLib.report import write_results
from LungCADLib.report.page import page
from LungCADLib.study import Study

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Structure(HTMLParser):
    """Collects ids, links and text; fails when tags do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        named = dict(attrs)
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named[key] for key in ("href", "src") if key in named]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def html() -> str:
    scan = make_scan()
    return page(make_study(scan), scan)


def test_it_says_first_that_it_is_no_medical_device(html):
    body = html.split("<body>", 1)[1]
    assert body.startswith('<div class="banner">For research; not a medical device.')


def test_it_is_well_formed_and_needs_nothing_from_outside(html):
    structure = Structure(html)
    for link in structure.links:
        assert link.startswith("data:image/png;base64,") or link.removeprefix("#") in structure.ids, link[:60]
    assert len(set(structure.ids)) == len(structure.ids)
    assert "url(" not in html
    assert "<script" not in html


def test_text_from_the_scan_cannot_become_markup(html):
    assert "Chest 2.5 &amp; &lt;lung&gt;" in html
    assert "<lung>" not in html
    assert "<unless>" not in html


def test_everything_the_study_says_is_there(html):
    text = Structure(html).text
    for said in (
        "P-7, 63 years, F", "2024-02-29", "B30f", "72 × 64 × 40", "doubtful", "The right lung is small.",
        "4A", "CT in 3 months", "Fleischner 2017", "BTS 2015", "The slices are 2.5 mm thick.",
        "17.9 × 14.2 mm", "right upper lobe, central", "30 ± 15 HU", "0.71", "0.55 to 0.83",
        "not a probability of cancer", "AUC 0.95", "the ruler alone: 0.94", "Brock 2b", "12.0%", "5.0% to 31.0%",
        "age 63 years", "sex female", "emphysema (assumed)", "needs a PET",
        "solid, 8 to < 15 mm at baseline", "ACR 2022", "The slices are thick, for this size",
        "reader_model.json", "abababababab", "lungs 3.2 s",
    ):  # fmt: skip
        assert said in text, said


def test_only_inputs_nobody_gave_are_marked_assumed(html):
    assert re.findall(r'class="assumed">([^<]*)<', html) == ["emphysema (assumed)"] * 2


def test_each_nodule_has_three_pictures_and_four_views(html):
    for id_ in ("L1", "L2", "L3"):
        assert all(f'id="{id_}-{plane}"' in html for plane in ("axial", "coronal", "sagittal"))
        assert html.count(f'aria-label="Nodule {id_}, ') == 4
        assert html.count(f'aria-label="Nodule {id_}, Axial, plain"') == 1


def test_a_study_without_nodules_or_masks_still_has_a_page():
    scan = make_scan()
    study = make_study(scan)
    study.nodules.clear()
    assert "No nodule was found." in page(study, scan)
    assert "data:image" not in page(Study.from_json(study.to_json()), scan)


def test_write_results_writes_the_four_files(tmp_path):
    scan = make_scan()
    study = make_study(scan)
    files = write_results(study, scan, tmp_path)
    names = {"study": "study.json", "nodules": "nodules.csv", "segmentation": "segmentation.seg.nrrd"}
    assert {kind: path.name for kind, path in files.items()} == names | {"report": "report.html"}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in files.values())
    assert Study.load(files["study"]) == study


@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_png_files_hold_the_very_pixels(gray):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.png")
        path.write_bytes(png(gray))
        assert (sitk.GetArrayFromImage(sitk.ReadImage(str(path))) == gray).all()


def test_png_in_color(tmp_path):
    rgb = np.random.default_rng(1).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    (tmp_path / "a.png").write_bytes(png(rgb))
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.png"))) == rgb).all()


def test_the_lung_window_runs_from_minus_1350_to_150_hu():
    assert window(np.array([-2000, -1350, -600, 150, 3000])).tolist() == [0, 0, 127, 255, 255]


@pytest.mark.parametrize("direction", [None, OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_the_pictures_center_is_the_position(plane, direction):
    scan = make_scan(geometry(direction=direction))
    scan.hu[:] = -1000
    scan.hu[12, 30, 40] = 0
    gray = view(scan, plane, tuple(scan.geometry.to_lps((12, 30, 40))), 40.0, pixels=81).gray
    assert np.unravel_index(gray.argmax(), gray.shape) == (40, 40)


def test_pictures_are_seen_as_radiologists_see_them():
    """The head is up; the patient's left is right, and the chest is left of the back in the sagittal picture."""
    scan = make_scan()
    center = tuple(scan.geometry.to_lps((20, 32, 36)))
    places = {"left": (20, 32, 46), "back": (20, 42, 36), "head": (25, 32, 36)}
    expected = {
        "axial": {"left": "right", "back": "down"},
        "coronal": {"left": "right", "head": "up"},
        "sagittal": {"back": "right", "head": "up"},
    }
    for plane, sides in expected.items():
        for place, side in sides.items():
            scan.hu[:] = -1000
            scan.hu[places[place]] = 3000
            gray = view(scan, plane, center, 60.0, pixels=61).gray
            row, column = np.unravel_index(gray.argmax(), gray.shape)
            seen = ("up" if row < 25 else "down") if abs(row - 30) > 5 else ("left" if column < 25 else "right")
            assert seen == side, (plane, place)


def path_points(path: str) -> np.ndarray:
    return np.array([float(v) for v in re.findall(r"[-\d.]+", path)]).reshape(-1, 2, 2)


@given(arrays.arrays(bool, (6, 7), fill=st.booleans()))
def test_outlines_close_around_the_mask(mask):
    """Every end of a piece meets exactly one other, so the outline has no loose ends."""
    scan = make_scan()
    box = BoxMask((20, 30, 30), mask[None])
    path = view(scan, "axial", tuple(scan.geometry.to_lps((20, 32, 33))), 60.0, box).outline
    ends = path_points(path).reshape(-1, 2)
    _, counts = np.unique(ends.round(3), axis=0, return_counts=True)
    assert (counts % 2 == 0).all()
    assert bool(path) == bool(mask.any())


def test_an_outline_runs_half_a_voxel_outside_the_centers_of_its_voxels():
    scan = make_scan()
    mask = BoxMask((20, 30, 30), np.ones((1, 5, 7), bool))
    points = path_points(view(scan, "axial", tuple(scan.geometry.to_lps((20, 32, 33))), 50.0, mask).outline)
    size = (np.ptp(points[..., 0]) * 50, np.ptp(points[..., 1]) * 50)
    assert size == pytest.approx((7 * 1.1, 5 * 1.2), abs=0.02)
    assert points[..., 0].mean() == pytest.approx(0.5, abs=0.01)


def test_there_is_no_outline_on_a_slice_the_mask_does_not_reach():
    scan = make_scan()
    mask = BoxMask((20, 30, 30), np.ones((1, 5, 7), bool))
    assert view(scan, "axial", tuple(scan.geometry.to_lps((24, 32, 33))), 50.0, mask).outline == ""


def test_the_overviews_put_a_nodule_where_it_shines():
    scan = make_scan()
    study = make_study(scan)
    with_nodule = overviews(scan, study.masks.lungs)
    nodule = study.masks.nodules["L1"]
    scan.hu[nodule.box][nodule.mask] = -850
    for bright, dark in zip(with_nodule, overviews(scan, study.masks.lungs), strict=True):
        assert bright.gray.shape[0] == 320
        change = np.argwhere(bright.gray.astype(int) - dark.gray > 60)
        place = np.array(bright.place(study.nodules[0].center_lps_mm))
        assert np.abs(change.mean(axis=0) + 0.5 - place).max() < 1
        assert np.ptp(change, axis=0) * bright.mm == pytest.approx((16, 18 if bright.plane == "coronal" else 14), abs=3)


def test_embedded_pictures_are_readable(html):
    for picture in re.findall(r'href="data:image/png;base64,([^"]+)"', html):
        assert base64.b64decode(picture).startswith(b"\x89PNG")
