"""`lungcad export`: every slice of every series as a picture of one size, each traceable, nothing overwritten."""

import csv

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_factory import ct_slice, save, uid

from LungCADLib.cli import main
from LungCADLib.errors import Cancelled
from LungCADLib.malignancy.preprocessing import Step
from LungCADLib.progress import Progress
from LungCADLib.readers import read_scan
from LungCADLib.training.picture_export import ABOUT, LOSS, MANIFEST, Kind, Look, Window, export, fit_of, picture

KINDS = ("png", "jpg")


def gray(hu, **look):
    return picture(hu, (1.0, 1.0), Look(side=hu.shape[0], **look))[0]


def test_the_window_is_black_at_its_lowest_and_white_at_its_highest_hu():
    hu = np.array([[-2000, -1350], [-600, 150]], np.int16)
    assert gray(hu).tolist() == [[0, 0], [127, 255]]
    # -600 and 150 lie 400 and 1150 of 1400 HU above black.
    assert gray(hu, window=Window.WIDE).tolist() == [[0, 0], [72, 209]]


def test_a_slice_keeps_its_proportions_in_mm_between_black_bars():
    # 100 rows of 2 mm and 100 columns of 1 mm are twice as high as wide.
    fit = fit_of((100, 100), (2.0, 1.0), Look(side=50))
    assert (fit.height, fit.width, fit.top, fit.left) == (50, 25, 0, 12)
    assert (fit.rows_per_pixel, fit.columns_per_pixel) == (2.0, 4.0)
    shown, _ = picture(np.full((100, 100), 500, np.int16), (2.0, 1.0), Look(side=50))
    assert (shown[:, 12:37] == 255).all()
    assert (shown[:, :12] == 0).all() and (shown[:, 37:] == 0).all()


def test_a_small_slice_is_framed_and_not_enlarged():
    hu = np.arange(-900, -500, 25, dtype=np.int16).reshape(4, 4)
    shown, fit = picture(hu, (1.0, 1.0), Look(side=8))
    assert (fit.top, fit.left, fit.rows_per_pixel) == (2, 2, 1.0)
    assert (shown[2:6, 2:6] == gray(hu)).all()


def test_the_papers_letter_stretches_a_slice_to_the_whole_picture():
    fit = fit_of((100, 50), (1.0, 1.0), Look(side=40, stretch=True))
    assert (fit.height, fit.width, fit.rows_per_pixel, fit.columns_per_pixel) == (40, 40, 2.5, 1.25)
    assert (picture(np.full((100, 50), 500, np.int16), (1.0, 1.0), Look(side=40, stretch=True))[0] == 255).all()


def test_a_pixel_shows_what_the_manifest_says_it_shows():
    hu = np.tile(np.arange(-1300, 100, 14, dtype=np.int16), (100, 1))
    shown, fit = picture(hu, (1.0, 1.0), Look(side=50))
    for p in (10, 25, 40):
        column = (p - fit.left + 0.5) * fit.columns_per_pixel - 0.5
        assert shown[25, p] == pytest.approx((-1300 + 14 * column + 1350) / 1500 * 255, abs=1)


def test_what_gets_coarser_is_smoothed_first():
    stripes = np.tile(np.array([-1000, 0], np.int16), (64, 32))
    shown, _ = picture(stripes, (1.0, 1.0), Look(side=16))
    assert shown[:, 2:-2].std() < 20


def test_preprocessing_comes_before_the_window():
    hu = np.full((9, 9), -800, np.int16)
    hu[4, 4] = 100
    assert gray(hu, steps=(Step.DENOISE,))[4, 4] == gray(hu)[0, 0]


@pytest.fixture
def folder(tmp_path):
    """Two series below one folder, ten slices and eight, and a file that is no DICOM."""
    place = tmp_path / "dicom"
    for name, slices in (("one", 10), ("two", 8)):
        made = [ct_slice((-79, -59, 5 * z), series=name, number=z + 1) for z in range(slices)]
        save(place / name, made)
    (place / "notes.txt").write_text("not a CT")
    return place


def rows(out):
    with (out / MANIFEST).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kind", KINDS)
def test_every_slice_of_every_series_becomes_a_picture_that_can_be_traced(folder, tmp_path, capsys, kind):
    out = tmp_path / "pictures"
    assert main(["export", str(folder), "--out", str(out), "--format", kind, "--size", "64"]) == 0
    said = capsys.readouterr()
    assert "18 pictures of 2 series" in said.out
    assert "HU" in said.err
    assert (out / ABOUT).read_text().strip() == LOSS
    table = rows(out)
    assert len(table) == 18
    assert {row["series_uid"] for row in table} == {uid("one"), uid("two")}
    for row in table:
        shown = sitk.ReadImage(str(out / row["file"]))
        assert shown.GetSize() == (64, 64)
        assert shown.GetPixelID() == sitk.sitkUInt8
        assert row["file"] == f"{row['series_uid']}/{int(row['slice']):04d}.{kind}"
        assert float(row["z_mm"]) == 5 * int(row["slice"])
    assert {p.suffix for p in out.rglob("*") if p.is_file()} == {f".{kind}", ".csv", ".txt"}


def test_a_png_is_exact_and_a_jpg_is_close(folder, tmp_path, capsys):
    for kind in Kind:
        (tmp_path / kind).mkdir()
        export(folder / "one", tmp_path / kind, Look(kind=kind, side=64), Progress())
    name = f"{uid('one')}/0002"
    png, jpg = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / k / f"{name}.{k}"))).astype(int) for k in ("png", "jpg")
    )

    scan = read_scan(folder / "one")
    assert (png == picture(scan.hu[2], scan.spacing[1:], Look(side=64))[0]).all()
    assert 0 < np.abs(png - jpg).mean() < 4


def test_small_slices_are_told_of(folder, tmp_path, capsys):
    assert main(["export", str(folder), "--out", str(tmp_path / "a"), "--size", "64"]) == 0
    assert "40 x 30 are smaller than 64 x 64; they were not enlarged" in capsys.readouterr().err
    assert main(["export", str(folder), "--out", str(tmp_path / "b"), "--size", "64", "--stretch"]) == 0
    assert "40 x 30 were enlarged to 64 x 64" in capsys.readouterr().err


def test_nothing_is_overwritten(folder, tmp_path, capsys):
    out = tmp_path / "pictures"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    assert main(["export", str(folder), "--out", str(out)]) == 4
    assert "already there" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_a_stopped_export_leaves_nothing(folder, tmp_path, capsys, monkeypatch):
    from LungCADLib.training import picture_export

    written = []

    def stopping(*words):
        written.append(words)
        if len(written) == 5:
            raise KeyboardInterrupt
        return row(*words)

    row = picture_export._write
    monkeypatch.setattr(picture_export, "_write", stopping)
    assert main(["export", str(folder), "--out", str(tmp_path / "pictures")]) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["dicom"]


def test_it_stops_when_asked_after_any_slice(folder, tmp_path):
    asked = []
    (tmp_path / "out").mkdir()
    with pytest.raises(Cancelled):
        export(folder, tmp_path / "out", Look(), Progress(cancelled=lambda: bool(asked.append(1)) or len(asked) > 3))
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == 3


def test_a_series_that_cannot_be_read_is_left_out_with_its_reason(folder, tmp_path, capsys):
    gap = [ct_slice((-79, -59, z), series="color", number=n, Modality="MR") for n, z in enumerate((0, 5, 10))]
    save(folder / "mr", gap)
    assert main(["export", str(folder), "--out", str(tmp_path / "out"), "--size", "32"]) == 0
    assert f"Left out: {uid('color')}: it is MR, not CT" in capsys.readouterr().err
    assert len(rows(tmp_path / "out")) == 18


def test_a_folder_without_ct_is_refused_and_nothing_is_left(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["export", str(tmp_path / "empty"), "--out", str(tmp_path / "out")]) == 3
    assert "no CT series" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_name_that_would_leave_the_folder_stays_in_it(tmp_path):
    from LungCADLib.training.picture_export import _place

    assert _place(tmp_path, "../../etc") == tmp_path / "_.._etc"
    assert _place(tmp_path, "..") == tmp_path / "series"
    (tmp_path / "1.2").mkdir()
    assert _place(tmp_path, "1.2") == tmp_path / "1.2-2"


def test_real_slices_of_usual_size_fill_the_picture(real_data, tmp_path):
    source = real_data / "acrin-flt-breast-001-slab"
    done = export(source, tmp_path, Look(), Progress())
    assert not done.remarks
    row = rows(tmp_path)[10]
    assert (row["rows"], row["columns"]) == ("512", "512")
    shown = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / row["file"])))
    assert shown.shape == (416, 416)
    assert shown.std() > 40
