"""Data sets in their publishers' layouts: recognized, checked case by case, read lazily; anything else is refused."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from dataset_factory import SQUARE, nodule_xml, reading_xml, write_dsb2017, write_lidc, write_luna16, write_pair
from dicom_factory import stacked
from slice_factory import write_rows

from LungCADLib.cli import main
from LungCADLib.errors import Cancelled, InputError
from LungCADLib.progress import Progress
from LungCADLib.training.datasets import SETS, data_set, recognize
from LungCADLib.training.datasets.lidc_xml import read_reading

TWINS = {"lidc-idri": write_lidc, "luna16": write_luna16, "dsb2017": write_dsb2017, "own": lambda f: write_pair(f, "A")}


def check(name, folder):
    return data_set(name).check(folder, Progress())


def problems(report):
    return {case.case: (case.state, " ".join(case.problems)) for case in report.cases if case.problems}


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_is_recognized_complete_and_read_case_by_case(tmp_path, name):
    folder = TWINS[name](tmp_path)
    found = recognize(folder)
    assert found.name == name
    report = found.check(folder, Progress())
    assert report.complete, report
    cases = iter(found.cases(folder))
    case = next(cases)
    assert case.scan.hu.shape[0] == 16
    assert case.patient


@pytest.mark.parametrize("name", SETS)
def test_a_reader_fed_something_else_says_in_one_sentence_what_it_expected(tmp_path, name):
    (tmp_path / "notes.txt").write_text("nothing of the kind")
    with pytest.raises(InputError, match="expected") as error:
        check(name, tmp_path)
    assert data_set(name).expects in str(error.value)
    assert str(error.value).count(". ") == 0
    with pytest.raises(InputError, match="expected"):
        next(iter(data_set(name).cases(tmp_path)))


def test_an_unknown_folder_is_told_what_every_set_looks_like(tmp_path):
    with pytest.raises(InputError) as error:
        recognize(tmp_path)
    assert all(data_set(name).expects in str(error.value) for name in SETS)


def test_a_check_says_how_far_it_is_and_can_be_cancelled(tmp_path):
    folder, seen = write_dsb2017(tmp_path), []

    def move(step):
        seen.append(step.fraction)

    progress = Progress(report=move, cancelled=lambda: bool(seen), shares={"check": 1.0})
    with pytest.raises(Cancelled), progress.stage("check"):
        data_set("dsb2017").check(folder, progress)


# LIDC-IDRI


def test_a_contour_runs_outside_what_it_encloses(tmp_path):
    (case,) = data_set("lidc-idri").cases(write_lidc(tmp_path))
    (nodule,) = case.nodules
    inside = np.argwhere(nodule.outline.full(case.scan.geometry.shape))
    # Twelve pixels are the contour, four are inside it; three images.
    assert sorted(set(map(tuple, inside[:, 1:].tolist()))) == [(11, 11), (11, 12), (12, 11), (12, 12)]
    assert sorted(set(inside[:, 0].tolist())) == [5, 6, 7]
    assert nodule.readers == 2
    assert nodule.ratings["malignancy"] == (4, 5)
    assert nodule.label == "malignant"


def test_contours_stay_in_their_place_in_a_scan_that_was_turned(tmp_path):
    # The patient lies on the belly: rows of the image run to the right, columns to the front.
    series = stacked((-1, 0, 0, 0, -1, 0), 16, 5.0, travel=(0, 0, 1), shape=(30, 40))
    (case,) = data_set("lidc-idri").cases(write_lidc(tmp_path, series=series))
    x, y, z = (float(v) for v in series[6].ImagePositionPatient)
    assert case.nodules[0].center_lps_mm == pytest.approx((x - 11.5 * 4, y - 11.5 * 4, z), abs=0.01)
    assert case.scan.geometry.direction == pytest.approx(np.eye(3))
    assert case.nodules[0].outline.mask.sum() == 12


def test_small_nodules_and_non_nodules_are_counted_not_outlined(tmp_path):
    write_lidc(tmp_path)
    reading = read_reading(next(tmp_path.rglob("069.xml")))
    assert (reading.readers, len(reading.marks), reading.small, reading.others) == (4, 2, 1, 1)


def test_outlined_images_that_are_not_there_are_missing(tmp_path):
    write_lidc(tmp_path)
    sorted(tmp_path.rglob("*.dcm"))[6].unlink()
    ((state, said),) = problems(check("lidc-idri", tmp_path)).values()
    assert state != "complete"
    assert "1 images that are not there" in said


def test_a_reading_without_its_series_and_a_series_without_reading(tmp_path):
    write_lidc(tmp_path / "all")
    place = next((tmp_path / "all").rglob("069.xml")).parent
    (place / "069.xml").rename(tmp_path / "other.xml")
    text = (tmp_path / "other.xml").read_text().replace("<SeriesInstanceUid>", "<SeriesInstanceUid>9")
    (tmp_path / "all" / "other.xml").write_text(text)
    said = " ".join(text for _, text in problems(check("lidc-idri", tmp_path / "all")).values())
    assert "which is not there" in said
    assert "has no XML file of readings" in said


def test_two_readings_of_one_series_are_broken(tmp_path):
    write_lidc(tmp_path)
    (tmp_path / "again.xml").write_bytes(next(tmp_path.rglob("069.xml")).read_bytes())
    assert any("of the same series" in said for _, said in problems(check("lidc-idri", tmp_path)).values())


LAUGHS = '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
REACHES = '<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("head", [LAUGHS, REACHES, '<!DOCTYPE l SYSTEM "http://example.org/l.dtd">'])
def test_xml_that_declares_entities_is_refused(tmp_path, head):
    path = tmp_path / "069.xml"
    path.write_text(reading_xml("1.2", [nodule_xml("N", [("1.2.3", 0.0)], SQUARE, 3)], head))
    with pytest.raises(InputError, match="declares a document type"):
        read_reading(path)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("</LidcReadMessage>", "", "damaged or not XML"),
        ("LidcReadMessage", "IdriReadMessage", "IdriReadMessage"),
        ("<SeriesInstanceUid>1.2</SeriesInstanceUid>", "", "of which series"),
        ("<xCoord>10</xCoord>", "<xCoord>ten</xCoord>", "'ten', which is no whole number"),
        ("<imageZposition>0.0 ", "<imageZposition>up", "no number"),
    ],
)
def test_a_reading_that_cannot_be_used_says_why(tmp_path, old, new, what):
    path = tmp_path / "069.xml"
    path.write_text(reading_xml("1.2", [nodule_xml("N", [("1.2.3", 0.0)], SQUARE, 3)]).replace(old, new))
    with pytest.raises(InputError, match=what):
        read_reading(path)


def test_the_real_readings_make_the_real_consensus(real_data):
    folder = real_data / "lidc-idri-0003"
    (case,) = data_set("lidc-idri").cases(folder)
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "nodule_consensus_2of4.nii.gz")))
    four = [nodule for nodule in case.nodules if nodule.readers == 4]
    assert len(four) == 3
    for nodule in four:
        mask = nodule.outline.full(case.scan.geometry.shape)
        label = truth == np.bincount(truth[mask]).argmax()
        assert 2 * (mask & label).sum() / (mask.sum() + label.sum()) > 0.999
    assert check("lidc-idri", folder).complete


def test_without_readings_the_database_says_the_same(real_data):
    folder = real_data / "lidc-idri-0003"
    (case,) = data_set("lidc-idri").cases(folder)
    (alone,) = data_set("lidc-idri").cases(folder / "dicom")
    assert [n.outline.start for n in alone.nodules] == [n.outline.start for n in case.nodules]
    assert all((a.outline.mask == b.outline.mask).all() for a, b in zip(alone.nodules, case.nodules, strict=True))
    assert [n.ratings for n in alone.nodules] == [n.ratings for n in case.nodules]


# LUNA16


def test_a_luna16_nodule_has_its_center_and_its_subset(tmp_path):
    case = list(data_set("luna16").cases(write_luna16(tmp_path)))[1]
    assert case.fold == 1
    (nodule,) = case.nodules
    assert case.scan.geometry.to_index(nodule.center_lps_mm) == pytest.approx((6, 11, 12))
    assert nodule.diameter_mm == 9.5


def test_luna16_without_data_files_or_with_a_series_twice(tmp_path):
    write_luna16(tmp_path, 3)
    next((tmp_path / "subset0").glob("*.raw")).unlink()
    raw = next((tmp_path / "subset1").glob("*.raw"))
    raw.write_bytes(raw.read_bytes()[:100])
    for path in (tmp_path / "subset2").iterdir():
        (tmp_path / "subset1" / path.name).write_bytes(path.read_bytes())
    report = check("luna16", tmp_path)
    states, said = zip(*problems(report).values(), strict=True)
    assert states == ("missing", "broken", "broken")
    assert "is missing" in said[0]
    assert "truncated" in said[1]
    assert "a series may be in one subset only" in said[2]
    assert "Without subset 3, 4, 5, 6, 7, 8, 9" in report.notes[0]


def test_a_patient_whose_series_are_in_two_subsets_is_named(tmp_path, monkeypatch):
    from LungCADLib.training.datasets import luna16

    write_luna16(tmp_path, 3)
    names = [next((tmp_path / f"subset{k}").glob("*.mhd")).stem for k in range(3)]
    monkeypatch.setattr(luna16, "_patients", lambda: dict(zip(names, ("P1", "P2", "P1"), strict=True)))
    assert any("in several subsets, split by patient instead: P1." in note for note in check("luna16", tmp_path).notes)
    assert [case.patient for case in data_set("luna16").cases(tmp_path)] == ["P1", "P2", "P1"]


def test_a_patient_in_two_folds_is_refused(tmp_path):
    from LungCADLib.training.folds import read_folds

    write_rows(tmp_path / "folds.csv", [{"patient": p, "fold": k} for p, k in (("P1", 0), ("P2", 1), ("P1", 3))])
    with pytest.raises(InputError, match="patient P1 in fold 0 and again in fold 3"):
        read_folds(tmp_path / "folds.csv")


def test_a_luna16_nodule_outside_its_volume_is_broken(tmp_path):
    write_luna16(tmp_path, 1)
    name = next((tmp_path / "subset0").glob("*.mhd")).stem
    write_rows(
        tmp_path / "annotations.csv",
        [{"seriesuid": name, "coordX": 9999, "coordY": 0, "coordZ": 0, "diameter_mm": 5}],
    )
    ((state, said),) = problems(check("luna16", tmp_path)).values()
    assert (state, "lie outside the volume" in said) == ("broken", True)


def test_a_wrong_table_says_which_column_it_lacks(tmp_path):
    write_luna16(tmp_path, 1)
    write_rows(tmp_path / "annotations.csv", [{"uid": "1", "x": 0}])
    with pytest.raises(InputError, match="no column 'seriesuid'; it is not LUNA16's table of nodules"):
        check("luna16", tmp_path)
    write_rows(
        tmp_path / "annotations.csv",
        [{"seriesuid": "1", "coordX": "a", "coordY": 0, "coordZ": 0, "diameter_mm": 5}],
    )
    with pytest.raises(InputError, match="row 1 has no center and diameter"):
        check("luna16", tmp_path)


# The Data Science Bowl 2017


def test_dsb2017_patients_keep_their_labels(tmp_path):
    cases = data_set("dsb2017").cases(write_dsb2017(tmp_path))
    assert [(case.patient, case.cancer) for case in cases] == [("patient0", False), ("patient1", True)]


# The command


def test_the_command_prints_what_is_wrong_and_ends_accordingly(tmp_path, capsys):
    write_pair(tmp_path, "A")
    assert main(["data", "check", str(tmp_path)]) == 0
    assert "1 complete, 0 broken, 0 missing" in capsys.readouterr().out
    write_pair(tmp_path, "B")
    (tmp_path / "B-label.nrrd").unlink()
    assert main(["data", "check", str(tmp_path), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert (found["complete"], found["missing"]) == (1, 1)
    assert main(["data", "check", str(tmp_path), "--as", "dsb2017"]) == 3
    assert "expected stage1_labels.csv" in capsys.readouterr().err


def test_the_command_lists_every_set(capsys):
    assert main(["data", "list", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == list(SETS)
    assert main(["data", "list"]) == 0
    assert "Mendeley" in capsys.readouterr().out
