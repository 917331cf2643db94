"""`lungcad evaluate outline`: reads crops and boxes, shows the engine nothing but a click, reports with intervals."""

import argparse
import csv
import json
import math

import numpy as np
import pytest
from digital_nodule import LUNG_HU, filled
from slice_factory import patients, write_slices

from LungCADLib.cli import main
from LungCADLib.evaluation import outline, outline_engines
from LungCADLib.evaluation.outline_engines import outline_all, outline_case
from LungCADLib.evaluation.outline_figures import figures, strata
from LungCADLib.evaluation.outline_pictures import READER, comparison
from LungCADLib.evaluation.overlap import Overlap
from LungCADLib.masks import BoxMask
from LungCADLib.training.nodule_sets import read_crops, read_vendors, read_vois

N = 6
DIAMETERS = (5.0, 7.0, 9.0, 12.0, 16.0, 10.0)
TEXTURES = (5, 5, 5, 3, 1, 4)
PATIENTS = ("A", "B", "C", "D", "E", "E")


def nodule(shape, spacing, center_mm, diameter, hu=30.0):
    share = filled(shape, spacing, center_mm, (diameter / 2,) * 3)
    noise = np.random.default_rng(round(diameter)).normal(0, 15, shape)
    return np.round(LUNG_HU + share * (hu - LUNG_HU) + noise).astype(np.int16), (share >= 0.5).astype(np.uint8)


def write_rows(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def crops(tmp_path):
    """A file of crops and its ratings in the layout of `lidc-crops`."""
    folder = tmp_path / "crops"
    folder.mkdir()
    parts = [nodule((51, 51, 51), (1.0, 1.0, 1.0), (25.0, 25.0, 25.0), d) for d in DIAMETERS]
    names = [f"{i}_nod1_ann0" for i in range(N)]
    np.savez(
        folder / "crops.npz", hu=np.stack([p[0] for p in parts]), mask=np.stack([p[1] for p in parts]),
        name=names, patient=PATIENTS, series=[f"1.{i}" for i in range(N)],
    )  # fmt: skip
    rows = zip(names, PATIENTS, TEXTURES, strict=True)
    write_rows(folder / "ratings.csv", [{"Filename": n, "patient": p, "texture": f"{t}.0"} for n, p, t in rows])
    return folder / "crops.npz"


@pytest.fixture
def vois(tmp_path):
    """A file of boxes of unlike shapes, nodules off their middle, and its ratings in the layout of `lidc-vois`."""
    folder = tmp_path / "vois"
    folder.mkdir()
    flat, rows, shapes, spacings, origins = [], [], [], [], []
    for i, diameter in enumerate(DIAMETERS):
        spacing, shape = (1.25, 0.7, 0.8), (24 + i, 44, 40 + i)
        center = np.array([15.0, 14.0 + i / 2, 16.0])
        flat.append(nodule(shape, spacing, center, diameter))
        origin = np.array([-200.5 - i, 30.25, -120.0])
        z, y, x = origin + center
        shapes.append(shape)
        spacings.append(spacing)
        origins.append(origin)
        rows.append({"name": f"N{i}", "coordX": x, "coordY": y, "coordZ": z, "Texture_value": TEXTURES[i]})
    sizes = [hu.size for hu, _ in flat]
    np.savez(
        folder / "vois.npz", hu=np.concatenate([h.ravel() for h, _ in flat]),
        mask=np.concatenate([m.ravel() for _, m in flat]), start=np.cumsum([0, *sizes]),
        shape=np.array(shapes, np.int32), spacing=np.array(spacings, np.float32), origin=np.array(origins, np.float32),
        name=[f"N{i}" for i in range(N)], patient=PATIENTS, series=[f"1.{i}" for i in range(N)],
    )  # fmt: skip
    write_rows(folder / "ratings.csv", rows)
    return folder / "vois.npz"


def change(path, **arrays):
    """The same file with other arrays; None takes one away."""
    with np.load(path) as file:
        kept = {key: file[key] for key in file.files} | arrays
    np.savez(path, **{key: value for key, value in kept.items() if value is not None})


def answer(capsys, *words, engine="classical"):
    assert main(["evaluate", "outline", "--engine", engine, *map(str, words)]) == 0
    return json.loads(capsys.readouterr().out)


def test_crops_are_clicked_in_the_middle(crops):
    cases = read_crops(crops, crops.with_name("ratings.csv"))
    assert [c.patient for c in cases] == list(PATIENTS)
    assert [c.texture for c in cases] == list(TEXTURES)
    assert all(c.click_lps_mm == (25.0, 25.0, 25.0) for c in cases)
    assert [c.diameter_mm for c in cases] == pytest.approx(DIAMETERS, abs=0.5)


def test_boxes_are_clicked_at_the_annotated_center(vois):
    for case in read_vois(vois, vois.with_name("ratings.csv")):
        center = np.argwhere(case.truth).mean(axis=0)
        assert case.scan.geometry.to_index(case.click_lps_mm) == pytest.approx(center, abs=0.3)
        assert case.scan.hu.shape == case.truth.shape


def test_the_last_box_runs_to_the_end(vois):
    before = read_vois(vois, vois.with_name("ratings.csv"))
    with np.load(vois) as file:
        start = file["start"]
    change(vois, start=start[:-1])
    after = read_vois(vois, vois.with_name("ratings.csv"))
    assert all((a.scan.hu == b.scan.hu).all() for a, b in zip(before, after, strict=True))


def test_one_file_prints_every_figure_under_its_name(crops, capsys):
    found = answer(capsys, "--crops", crops, "--ratings", crops.with_name("ratings.csv"), "--json")
    for name in ("dice", "hd95_mm", "surface_dice_1mm", "volume_bias_percent"):
        assert found[name].keys() == {"value", "low", "high", "n"}
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]
        assert found[name]["n"] == N
    assert found["dice"]["value"] > 0.8
    assert found["hd95_mm"]["value"] < 1.5
    assert found["surface_dice_1mm"]["value"] > 0.95
    assert [found[f"dice_{s}"]["n"] for s in ("below_6_mm", "6_8_mm", "8_15_mm", "15_mm_or_more")] == [1, 1, 3, 1]
    assert [found[f"dice_{s}"]["n"] for s in ("non_solid", "part_solid", "solid")] == [1, 2, 3]
    # One nodule says nothing about others.
    assert found["dice_non_solid"]["low"] is None
    assert any("too good" in note for note in found["notes"])


def test_two_files_print_one_object_each_and_what_was_not_tuned_on(crops, vois, capsys):
    change(vois, patient=["A", "Q", "R", "S", "S", "T"])  # boxes 0 and 3 count as tuned on: A and S
    both = ("--crops", crops, "--ratings", crops.with_name("ratings.csv"), "--vois", vois)
    found = answer(capsys, *both, "--json", "--ratings", vois.with_name("ratings.csv"))
    assert found.keys() == {"crops", "vois"}
    assert found["vois"]["dice"]["value"] > 0.8
    assert found["vois"]["dice_patients_not_tuned_on"]["n"] == 3
    assert "dice_patients_not_tuned_on" not in found["crops"]


def test_ratings_beside_the_file_are_found_and_crops_can_do_without(crops, vois, capsys):
    assert answer(capsys, "--vois", vois, "--json")["dice_solid"]["n"] == 3
    crops.with_name("ratings.csv").unlink()
    found = answer(capsys, "--crops", crops, "--json")
    assert found["dice"]["n"] == N
    assert "dice_solid" not in found


def test_the_printed_page_has_the_figures_of_the_json_and_says_what_they_rest_on(vois, tmp_path, capsys):
    metadata = tmp_path / "metadata.csv"
    makers = ("GE MEDICAL SYSTEMS", "SIEMENS", "Philips", "Philips", "Philips", "Philips")
    write_rows(metadata, [{"Series UID": f"1.{i}", "Manufacturer": m} for i, m in enumerate(makers)])
    words = ("--vois", vois, "--metadata", metadata)
    found = answer(capsys, *words, "--json")
    assert main(["evaluate", "outline", "--engine", "classical", *map(str, words)]) == 0
    page = capsys.readouterr().out
    dice = found["dice"]
    assert f"{dice['value']:.3f} ({dice['low']:.3f} to {dice['high']:.3f})" in page
    assert f"{found['dice_philips']['value']:.3f}" in page
    assert found["dice_siemens"]["n"] == 1
    for words in ("draws of patients", "never the reader's outline", "six constants", "Siemens"):
        assert words in " ".join(page.split())


def test_the_readers_outline_never_reaches_the_engine(vois):
    case, other = read_vois(vois, vois.with_name("ratings.csv"))[2:4]
    honest = outline_case(case, "classical")
    lied_to = type(case)(**(vars(case) | {"truth": np.zeros_like(case.truth), "name": other.name}))
    assert (outline_case(lied_to, "classical").mask.mask == honest.mask.mask).all()


def test_several_processes_give_what_one_gives(vois, monkeypatch):
    cases, steps = read_vois(vois, vois.with_name("ratings.csv")), []
    alone = outline_all(cases, "classical")
    monkeypatch.setattr(outline_engines, "FEW", 1)
    monkeypatch.setattr(outline_engines, "cores", lambda: 2)
    together = outline_all(cases, "classical", lambda: steps.append(1))
    assert [one.overlap for one in together] == [one.overlap for one in alone]
    assert len(steps) == N


def test_beside_the_network_stand_the_classical_figures(vois, capsys):
    found = answer(capsys, "--vois", vois, "--json", engine="network")
    classical = answer(capsys, "--vois", vois, "--json")
    assert found["dice"]["value"] > 0.8
    assert found["dice_classical"] == classical["dice"]
    assert found["dice_solid_classical"] == classical["dice_solid"]
    gain = found["dice"]["value"] - classical["dice"]["value"]
    assert found["dice_minus_classical"]["value"] == pytest.approx(gain, abs=1e-5)
    assert any("never saw that patient" in note for note in found["notes"])


def test_lone_slices_are_measured_in_their_plane(tmp_path, capsys):
    path = write_slices(tmp_path, patients(2), 71)
    found = answer(capsys, "--slices", path, "--ratings", path.with_name("ratings.csv"), "--json", engine="network")
    # The factory's nodules: discs of 5 to 7 mm, and stars of 16 to 20 mm.
    assert found["dice"]["value"] > 0.8
    assert found["hd95_mm"]["value"] < 3
    assert "dice_classical" not in found
    assert [found[f"dice_{s}"]["n"] for s in ("15_mm_or_more", "ge", "siemens")] == [5, 5, 5]


def test_a_patient_of_a_fold_is_outlined_by_the_member_that_never_saw_that_patient(vois, monkeypatch):
    from LungCADLib.nodules import outline_network
    from LungCADLib.training.folds import fold_of_patient

    asked, packaged = [], outline_network.packaged
    monkeypatch.setattr(outline_network, "packaged", lambda *words: asked.append(words[1]) or packaged(*words))
    known, fold = next(iter(fold_of_patient().items()))
    change(vois, patient=[known, "a stranger", "A", "B", "C", "D"])
    for case in read_vois(vois, vois.with_name("ratings.csv"))[:2]:
        outline_case(case, "network")
    assert asked == [fold, None]


def test_the_card_holds_what_was_printed(vois, tmp_path, capsys):
    assert main(["evaluate", "outline", "--vois", str(vois), "--card", str(tmp_path)]) == 0
    page, card = capsys.readouterr().out, (tmp_path / "outline.md").read_text(encoding="utf-8")
    dice = next(line for line in page.splitlines() if line.startswith("Dice ")).split("  ")
    cells = [cell.strip() for cell in dice if cell.strip()]
    assert "| " + " | ".join(cells) + " |" in card
    assert "CC BY 3.0" in card and "never saw that patient" in card


def overlaps(dice, ratio):
    return [Overlap(d, math.nan if d == 0 else 1.0, d, 100 * (r - 1), r) for d, r in zip(dice, ratio, strict=True)]


def test_figures_by_hand():
    found = figures(overlaps([0.9, 0.4, 0.8, 0.7, 0.6, 0.0], [0.5, 2, 0.5, 2, 1, 1]), list("abcdef"), [])
    assert found["dice"].value == pytest.approx(3.4 / 6)
    assert found["dice_median"].value == pytest.approx(0.65)
    assert found["dice_below_half"].value == pytest.approx(2 / 6)
    assert found["volume_bias_percent"].value == pytest.approx((-50 + 100 - 50 + 100 + 0 + 0) / 6)
    assert found["volume_ratio"].value == pytest.approx(1)
    # The SD of (-ln 2, ln 2, -ln 2, ln 2, 0, 0) is ln 2 * sqrt(4 / 5).
    assert found["volume_ratio_upper_limit"].value == pytest.approx(2 ** (1.96 * math.sqrt(0.8)))
    assert found["volume_ratio_lower_limit"].value == pytest.approx(2 ** (-1.96 * math.sqrt(0.8)))
    # A distance that does not exist is not counted.
    assert (found["hd95_mm"].n, found["dice"].n) == (5, 6)


def test_intervals_draw_patients_not_nodules():
    # Ten nodules in each of five patients, alike within a patient: fifty times the same five numbers.
    dice = np.repeat([0.5, 0.6, 0.7, 0.8, 0.9], 10)
    same = figures(overlaps(dice, np.ones(50)), np.repeat(list("abcde"), 10).tolist(), [])["dice"]
    apart = figures(overlaps(dice, np.ones(50)), list(range(50)), [])["dice"]
    assert same.high - same.low > 2 * (apart.high - apart.low)


def test_strata_meet_where_they_say(crops):
    cases = read_crops(crops, crops.with_name("ratings.csv"))
    vendors = {"1.0": "GE", "1.1": "GE", "1.2": "Siemens"}
    groups = {s.name: np.flatnonzero(s.among).tolist() for s in strata(cases, vendors, {"E"})}
    assert groups == {
        "below_6_mm": [0], "6_8_mm": [1], "8_15_mm": [2, 3, 5], "15_mm_or_more": [4], "non_solid": [4],
        "part_solid": [3, 5], "solid": [0, 1, 2], "ge": [0, 1], "siemens": [2], "patients_not_tuned_on": [0, 1, 2, 3],
    }  # fmt: skip


def test_vendors_are_read_by_series(tmp_path):
    rows = [("1", "GE MEDICAL SYSTEMS"), ("2", "SIEMENS"), ("3", "Philips"), ("4", "TOSHIBA"), ("5", "")]
    write_rows(tmp_path / "m.csv", [{"Series UID": s, "Manufacturer": m} for s, m in rows])
    assert read_vendors(tmp_path / "m.csv") == {"1": "GE", "2": "Siemens", "3": "Philips", "4": "Toshiba"}


def test_pictures_show_the_worst_first(vois, tmp_path, capsys):
    answer(capsys, "--vois", vois, "--json", "--worst", tmp_path / "worst")
    names = sorted(p.name for p in (tmp_path / "worst").iterdir())
    assert len(names) == N
    scores = [int(name.split("dice")[1].split("-")[0]) for name in names]
    assert scores == sorted(scores)


def test_a_picture_shows_both_outlines_at_their_size(vois):
    case = read_vois(vois, vois.with_name("ratings.csv"))[3]
    nothing = BoxMask((0, 0, 0), np.zeros((1, 1, 1), bool))
    picture = comparison(case, nothing)
    green = (picture == READER).all(axis=2)
    assert picture.shape[0] == 160
    rows = np.flatnonzero(green.any(axis=1))
    assert (rows[-1] - rows[0]) * 0.25 == pytest.approx(DIAMETERS[3], abs=1)


def fails(capsys, *words):
    assert main(["evaluate", "outline", *map(str, words)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("lungcad: ") and captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize("missing", ["hu", "mask", "patient", "series", "name"])
def test_a_missing_array_is_named(crops, missing, capsys):
    change(crops, **{missing: None})
    assert repr(missing) in fails(capsys, "--crops", crops)


BAD_VOIS = {
    "a mask of another length": ({"mask": np.zeros(7, np.uint8)}, "mask"),
    "hu not flat": ({"hu": np.zeros((2, 2)), "mask": np.zeros((2, 2))}, "flat"),
    "shape in two numbers": ({"shape": np.ones((N, 2), int)}, "shape"),
    "a shape that does not fit": ({"shape": np.full((N, 3), 5)}, "box 0"),
    "spacing of one box": ({"spacing": np.ones((1, 3))}, "spacing"),
    "spacing of zero": ({"spacing": np.zeros((N, 3))}, "spacing"),
    "origin elsewhere": ({"origin": np.full((N, 3), 900.0)}, "outside box"),
    "too few starts": ({"start": np.zeros(2, int)}, "start"),
    "too few patients": ({"patient": ["A"]}, "patient"),
    "other names": ({"name": [f"M{i}" for i in range(N)]}, "M0"),
}


@pytest.mark.parametrize(("arrays", "word"), BAD_VOIS.values(), ids=BAD_VOIS)
def test_boxes_of_another_layout_are_refused(vois, arrays, word, capsys):
    change(vois, **arrays)
    assert word in fails(capsys, "--vois", vois)


BAD_CROPS = {
    "one crop instead of many": {"hu": np.zeros((5, 5, 5), np.int16)},
    "a mask of another shape": {"mask": np.zeros((N, 5, 5, 5), np.uint8)},
    "an empty mask": {"mask": np.zeros((N, 51, 51, 51), np.uint8)},
    "words instead of HU": {"hu": np.full((N, 51, 51, 51), "a")},
}


@pytest.mark.parametrize("arrays", BAD_CROPS.values(), ids=BAD_CROPS)
def test_crops_of_another_layout_are_refused(crops, arrays, capsys):
    change(crops, **arrays)
    assert str(crops) in fails(capsys, "--crops", crops)


def test_ratings_of_another_number_of_nodules_are_refused(vois, capsys):
    ratings = vois.with_name("ratings.csv")
    lines = ratings.read_text().splitlines()
    ratings.write_text("\n".join(lines[:-1]) + "\n")
    assert f"{N - 1} rows" in fails(capsys, "--vois", vois)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [("coordX", "x", "'coordX'"), ("Texture_value", "texture", "'Texture_value'"), (",5\r\n", ",hard\r\n", "'hard'")],
)
def test_ratings_with_other_columns_or_words_are_refused(vois, old, new, word, capsys):
    ratings = vois.with_name("ratings.csv")
    ratings.write_bytes(ratings.read_bytes().replace(old.encode(), new.encode()))
    assert word in fails(capsys, "--vois", vois)


def test_files_that_are_not_there_or_not_npz_are_refused(vois, tmp_path, capsys):
    assert "not there" in fails(capsys, "--vois", tmp_path / "none.npz")
    assert "not there" in fails(capsys, "--vois", vois, "--ratings", tmp_path / "none.csv")
    vois.write_bytes(vois.read_bytes()[:5000])
    assert "cannot be read" in fails(capsys, "--vois", vois)
    vois.write_text("hello")
    assert "cannot be read" in fails(capsys, "--vois", vois)
    assert "not there" in fails(capsys, "--crops", tmp_path / "none.npz", "--metadata", tmp_path / "none.csv")


def test_an_engine_that_does_not_exist_is_refused_before_any_work(tmp_path, capsys):
    assert "'magic'" in fails(capsys, "--vois", tmp_path / "none.npz", "--engine", "magic")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--data", "nowhere"), "nothing to evaluate on"),
        (("--vois", "a", "--engine", "classical", "--card", "."), "--card"),
        (("--ratings", "a", "--ratings", "b"), "must follow"),
        (("--vois", "a", "--vois", "b"), "twice"),
        (("--vois", "a", "--ratings", "b", "--ratings", "c"), "must follow"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_told_so(words, message, capsys):
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "outline", *words])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_each_ratings_belongs_to_the_file_before_it():
    parser = argparse.ArgumentParser()
    outline.add_arguments(parser)

    def chosen(*words):
        files = outline._chosen(parser.parse_args([*words]))
        return {name: (str(f.nodules), f.ratings and str(f.ratings)) for name, f in files.items()}

    assert chosen("--vois", "v", "--ratings", "1", "--crops", "c") == {"crops": ("c", None), "vois": ("v", "1")}
    assert chosen("--crops", "c", "--vois", "v", "--ratings", "1") == {"crops": ("c", None), "vois": ("v", "1")}
    assert chosen("--ratings", "1", "--vois", "v") == {"vois": ("v", "1")}


def test_the_first_thirty_real_crops(real_data):
    folder = real_data / "lidc-crops"
    cases = read_crops(folder / "crops.npz", folder / "ratings.csv")[:30]
    scores = [one.overlap.dice for one in outline_all(cases, "classical")]
    assert np.mean(scores) >= 0.65


def test_every_fortieth_real_box(real_data):
    folder = real_data / "lidc-vois"
    cases = read_vois(folder / "vois.npz", folder / "ratings.csv")[1::40]
    scores = [one.overlap.dice for one in outline_all(cases, "classical")]
    assert np.mean(scores) >= 0.75
