"""What a hostile folder or a damaged file gets from the whole command: one sentence at once, and nothing is left."""

import os
import signal
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_factory import axial, body, grid, save

from LungCADLib.cli import Exit, main

NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 40 30 16\n"
    "space directions: {directions}\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
    "space origin: (-79,-59,0)\n{more}\n"
)
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nElementSpacing = {spacing}\n"
    "DimSize = {sizes}\n{more}ElementDataFile = LOCAL\n"
)
SHORT = "ElementType = MET_SHORT\n"


def chest() -> np.ndarray:
    """(16, 30, 40) HU, 5 mm slices."""
    return np.stack([body(grid((-79, -59, 5.0 * k), (1, 0, 0, 0, 1, 0), (4.0, 4.0), (30, 40))) for k in range(16)])


@pytest.fixture
def refusal(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """The sentence `lungcad analyze` gives for a path; what the system itself prints counts as well."""

    def told(path: Path) -> str:
        out = tmp_path / "results" / "here"
        assert main(["analyze", str(path), "--out", str(out)]) == Exit.INPUT
        lines = [line for line in capfd.readouterr().err.splitlines() if not line.endswith("% read")]
        assert len(lines) == 1, lines
        assert not out.parent.exists()
        return lines[0]

    return told


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path, refusal) -> None:
    (tmp_path / "in").mkdir()
    for name in ("slice.dcm", "ct.nrrd"):
        os.mkfifo(tmp_path / "in" / name)
        assert "is a pipe or a device" in refusal(tmp_path / "in" / name)
    assert "is empty" in refusal(tmp_path / "in")


def test_a_name_with_a_line_break_is_told_in_one_line(tmp_path: Path, refusal) -> None:
    folder = tmp_path / "one\ntwo"
    folder.mkdir()
    assert "one two is empty" in refusal(folder)


def test_stored_values_with_padding_around_them_are_not_hu(tmp_path: Path, refusal) -> None:
    """Padding of -2000 is as dark as air, but it is no air."""
    slices = axial(16, intercept=0)
    for dataset in slices:
        stored = np.frombuffer(dataset.PixelData, np.int16).reshape(30, 40) + 1024
        stored[:, :4] = -2000
        dataset.PixelData = stored.astype(np.int16).tobytes()
    assert "no voxel is as dark as air" in refusal(save(tmp_path / "in", slices))


def test_a_transfer_syntax_nobody_knows(tmp_path: Path, refusal) -> None:
    folder = save(tmp_path / "in", axial(16))
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes().replace(b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.9.9"))
    assert "unknown way (transfer syntax 1.2.840.10008.1.9.9)" in refusal(folder)


@pytest.mark.parametrize("offset", [float("nan"), -500.0, float("-inf")])
def test_nifti_data_that_begin_nowhere(tmp_path: Path, refusal, offset: float) -> None:
    file = tmp_path / "ct.nii"
    sitk.WriteImage(sitk.GetImageFromArray(chest()), str(file))
    data = bytearray(file.read_bytes())
    struct.pack_into("<f", data, 108, offset)
    file.write_bytes(data)
    assert "which is not possible" in refusal(file)


@pytest.mark.parametrize("directions", ["none none none", "(4,0,0) none (0,0,5)"])
def test_nrrd_without_directions_is_not_taken_for_one_millimeter(tmp_path: Path, refusal, directions: str) -> None:
    file = tmp_path / "ct.nrrd"
    file.write_bytes(NRRD.format(directions=directions, more="").encode() + chest().tobytes())
    assert "does not say its voxel spacing" in refusal(file)


def test_nrrd_with_negative_spacing(tmp_path: Path, refusal) -> None:
    file = tmp_path / "ct.nrrd"
    header = NRRD.replace("space: left-posterior-superior\n", "").replace("space origin: (-79,-59,0)\n", "")
    header = header.replace("space directions: {directions}", "spacings: -4 -4 -5").format(more="")
    file.write_bytes(header.encode() + chest().tobytes())
    assert "spacing of -4 -4 -5 mm, which is not possible" in refusal(file)


def test_compressed_nrrd_whose_checksum_is_wrong(tmp_path: Path, refusal) -> None:
    file = tmp_path / "ct.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(chest()), str(file), True)
    data = bytearray(file.read_bytes())
    data[-8] ^= 0xFF
    file.write_bytes(data)
    assert "is damaged (its checksum is wrong)" in refusal(file)


def test_compressed_nrrd_that_ends_too_early(tmp_path: Path, refusal) -> None:
    file = tmp_path / "ct.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(chest()), str(file), True)
    file.write_bytes(file.read_bytes()[:-100])
    assert "truncated" in refusal(file)


def test_nrrd_with_a_long_header_is_read_to_its_end(tmp_path: Path) -> None:
    from LungCADLib.readers import read_scan

    file = tmp_path / "ct.nrrd"
    notes = "".join(f"note {i}:={'x' * 70}\n" for i in range(2000))
    header = NRRD.format(directions="(4,0,0) (0,4,0) (0,0,5)", more="")
    file.write_bytes(header.replace("type:", f"{notes}type:").encode() + chest().tobytes())
    assert read_scan(file).geometry.spacing == (5.0, 4.0, 4.0)


@pytest.mark.parametrize(
    ("sizes", "spacing", "more", "why"),
    [
        ("a b c", "4 4 5", SHORT, "impossible dimensions"),
        ("40 30", "4 4 5", SHORT, "impossible dimensions"),
        ("-40 30 16", "4 4 5", SHORT, "impossible dimensions"),
        ("40 30 16", "-4 -4 -5", SHORT, "which is not possible"),
        ("40 30 16", "4 4 5", "", "what kind of numbers"),
    ],
)
def test_metaimage_headers_that_cannot_be(
    tmp_path: Path, refusal, sizes: str, spacing: str, more: str, why: str
) -> None:
    file = tmp_path / "ct.mha"
    file.write_bytes(META.format(sizes=sizes, spacing=spacing, more=more).encode() + chest().tobytes())
    assert why in refusal(file)


def test_a_series_of_a_volume_file(tmp_path: Path) -> None:
    from LungCADLib.errors import InputError
    from LungCADLib.readers import read_scan

    sitk.WriteImage(sitk.GetImageFromArray(chest()), str(tmp_path / "ct.nii"))
    with pytest.raises(InputError, match="without series; leave --series out"):
        read_scan(tmp_path / "ct.nii", series="1.2.3")


def test_nobody_quit_before_birth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["analyze", str(tmp_path), "--age", "30", "--years-since-quit", "31"])
    assert end.value.code == Exit.USAGE
    assert "longer ago than --age" in capsys.readouterr().err


def test_the_list_of_two_patients_promises_no_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "a", axial(16))
    assert main(["series", str(tmp_path)]) == Exit.DONE
    assert "read by default" in capsys.readouterr().out
    save(tmp_path / "b", axial(16, series="two", patient="P2"))
    assert main(["series", str(tmp_path)]) == Exit.DONE
    listed = capsys.readouterr().out
    assert "read by default" not in listed
    assert "2 patients: name one series" in listed


def test_an_interrupt_waits_until_slicer_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the middle of Slicer's imports ends the process without any cleaning up."""
    from LungCADLib import scene

    steps = []

    def interrupted() -> None:
        signal.raise_signal(signal.SIGINT)
        steps.append("imported")
        raise scene.SceneUnavailable

    monkeypatch.setattr(scene, "_require_slicer", interrupted)
    # A process that a shell put in the background ignores SIGINT from its start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            scene.write_scene(None, None, Path("scene.mrb"))  # type: ignore[arg-type]
    finally:
        signal.signal(signal.SIGINT, before)
    assert steps == ["imported"]


def test_a_scene_that_does_not_fit_says_so_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("slicer")
    from study_factory import make_scan, make_study

    from LungCADLib.scene import write_scene

    scan = make_scan()
    with pytest.raises(OSError, match="could not be written"):
        write_scene(make_study(scan), scan, tmp_path / "nowhere" / "scene.mrb")
    assert capfd.readouterr().err == ""
