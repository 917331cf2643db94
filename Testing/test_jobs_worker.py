"""The real worker: `python -m LungCADLib.jobs`, and that it does what the command line does."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from study_factory import make_scan, make_study
from test_jobs_client import follow

from LungCADLib.cli import main
from LungCADLib.errors import Cancelled, InputError, OutputError
from LungCADLib.jobs import Failed, Finished, Found, Job, Progressed, Request, Volume, read_found
from LungCADLib.jobs.events import Started, from_line, to_line
from LungCADLib.jobs.failures import EXIT_CODES, of_error, of_exit
from LungCADLib.jobs.found import write_found
from LungCADLib.jobs.run import run
from LungCADLib.jobs.worker import Voice, seconds_left
from LungCADLib.pipeline import SHARES
from LungCADLib.progress import Progress, Step
from LungCADLib.scan import Header
from LungCADLib.settings import Patient, Settings
from LungCADLib.study import Study

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = Settings(device="cpu", min_diameter_mm=5.0, patient=Patient(age_years=61.0, sex="female"))


@pytest.fixture(scope="module")
def slab(chest):
    """A few slices of the right half of a chest with three nodules: the whole road in a few seconds."""
    return chest.scan.crop((slice(36, 50), slice(None), slice(0, 150)))


@pytest.fixture(scope="module")
def nrrd(slab, tmp_path_factory):
    path = tmp_path_factory.mktemp("input") / "slab.nrrd"
    sitk.WriteImage(slab.geometry.image(slab.hu), str(path))
    return path


def work(request, *options):
    """What the worker says about a request on its standard input, and its exit code."""
    command = [sys.executable, "-m", "LungCADLib.jobs", *options]
    answer = subprocess.run(command, input=request, capture_output=True, cwd=ROOT, timeout=100)
    events = [from_line(line) for line in answer.stdout.splitlines()]
    assert None not in events and isinstance(events[0], Started)
    return events[1:], answer.returncode


def same_run(study):
    """A study without what differs from one run to the next: when, and how long."""
    study.timing_s, study.provenance.created = {}, ""
    return study


@pytest.fixture(scope="module")
def commanded(nrrd, tmp_path_factory):
    """The folder `lungcad analyze` makes of the slab."""
    out = tmp_path_factory.mktemp("commanded") / "out"
    options = ["--device", "cpu", "--min-diameter", "5", "--age", "61", "--sex", "female"]
    assert main(["analyze", str(nrrd), "--out", str(out), *options]) == 0
    return out


@pytest.fixture(scope="module")
def heard(nrrd, tmp_path_factory):
    """The events of a whole run of the real worker, with what they pointed to."""
    place = tmp_path_factory.mktemp("temporary")
    with Job(nrrd, SETTINGS, temporary=place) as job:
        events = []
        while job.running:
            for event in job.poll():
                events.append(event)
                if isinstance(event, Found):
                    events.append(read_found(event.folder))
                if isinstance(event, Finished):
                    events.append({path.name: path.read_bytes() for path in event.folder.iterdir()})
            time.sleep(0.02)
        assert isinstance(events[-1], dict), f"{events} {job.log}"
    assert list(place.iterdir()) == []
    return events


def test_a_worker_writes_what_the_command_line_writes_bit_for_bit(heard, commanded):
    written = heard[-1]
    assert written.keys() == {path.name for path in commanded.iterdir()}
    for name in ("nodules.csv", "segmentation.seg.nrrd"):
        assert written[name] == (commanded / name).read_bytes()
    one, other = (
        same_run(Study.from_json(text)) for text in (written["study.json"], (commanded / "study.json").read_bytes())
    )
    assert one == other
    assert len(one.nodules) > 0, "an empty study would compare equal to anything empty"


def test_progress_never_goes_back_and_ends_at_one(heard):
    steps = [event for event in heard if isinstance(event, Progressed)]
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions) and fractions[0] < 0.2 and fractions[-1] == 1.0
    # A client that looks seldom hears only the newest step, so a quick stage may pass unheard.
    stages = dict.fromkeys(step.stage for step in steps)
    assert len(stages) > 1 and list(stages) == [stage for stage in SHARES if stage in stages]
    assert any(step.seconds_left for step in steps)


def test_the_lungs_come_first_then_the_nodules_then_the_files(heard, commanded):
    founds = [event.what for event in heard if isinstance(event, Found)]
    assert founds == ["lungs", "nodules"]
    lungs, nodules = (event for event in heard if isinstance(event, Study))
    final = Study.load(commanded / "study.json")
    assert lungs.nodules == [] and lungs.lungs == final.lungs and lungs.masks.lungs.any()
    assert lungs.exam.lung_rads.category == "0", "nobody has looked for nodules yet"
    assert nodules.nodules == final.nodules
    assert np.array_equal(lungs.masks.lungs, nodules.masks.lungs)
    assert nodules.masks.nodules.keys() == {nodule.id for nodule in final.nodules}
    for nodule in nodules.nodules:
        # The measured volume counts the filled part of the outline's border voxels.
        mask = nodules.masks.nodules[nodule.id].trimmed(1).mask
        inner, whole = (m.sum() * nodules.masks.geometry.voxel_mm3 for m in (ndimage.binary_erosion(mask), mask))
        assert inner < nodule.volume_mm3 < whole
        z, y, x = np.round(nodules.masks.geometry.to_index(nodule.center_lps_mm)).astype(int)
        assert nodules.masks.nodules[nodule.id].full(nodules.masks.geometry.shape)[z, y, x]


@pytest.mark.parametrize("lungs", [True, False])
def test_a_study_travels_with_its_outlines(tmp_path, lungs):
    study = make_study(make_scan())
    if not lungs:
        study.masks.lungs[...] = 0
    write_found(study, tmp_path / "found")
    read = read_found(tmp_path / "found")
    assert read == study
    assert np.array_equal(read.masks.lungs, study.masks.lungs)
    assert read.masks.geometry.shape == study.masks.geometry.shape
    assert np.allclose(read.masks.geometry.to_lps((3, 5, 7)), study.masks.geometry.to_lps((3, 5, 7)))
    for name, mask in study.masks.nodules.items():
        assert read.masks.nodules[name].start == mask.start
        assert np.array_equal(read.masks.nodules[name].mask, mask.mask)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (b"", "the text: Invalid JSON"),
        (b"\xff\x00garbage", "the text: Invalid JSON"),
        (b"[1, 2]", "the text: Input should be"),
        (b'{"input": "a.nrrd"}', "out: Field required"),
        (b'{"input": "a.nrrd", "out": "b", "settings": {"device": "tpu"}}', "settings.device: Input should be"),
        (b'{"input": "a.nrrd", "out": "b", "settings": {"patient": {"agee": 3}}}', "no field settings.patient.agee"),
    ],
)
def test_a_garbage_request_is_refused_in_one_sentence(text, word):
    with pytest.raises(InputError, match=word):
        Request.from_json(text)


def test_the_worker_says_what_it_refuses(tmp_path):
    events, code = work(b"garbage")
    assert code == EXIT_CODES["input"]
    (failed,) = events
    assert failed.kind == "input" and failed.message.startswith("This is not a request to LungCAD")


def test_a_request_comes_back_from_its_json():
    request = Request(Path("a b"), Path("ü"), "1.2.3", Header(source="CT", patient_sex="F"), SETTINGS, scene=False)
    assert Request.from_json(request.to_json()) == request
    assert Request.from_json('{"input": "a", "out": "b"}') == Request(Path("a"), Path("b"))


@pytest.mark.parametrize(
    "event",
    [
        Progressed("lungs", 0.5, "Größe", None),
        Found("lungs", Path("/a b/c")),
        Finished(Path("/x")),
        Failed("memory", 'one "line"'),
        Started(7, "0.1", "3.12"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_event_comes_back_from_its_line(event):
    line = to_line(event)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert from_line(line) == event


def test_an_input_that_is_gone_is_named(tmp_path):
    with Job(tmp_path / "gone.nrrd", temporary=tmp_path) as job:
        (*_, last) = follow(job, seconds=100)
    assert last.kind == "input" and "gone.nrrd" in last.message
    assert list(tmp_path.iterdir()) == []


def test_an_input_deleted_while_it_is_read_is_named_and_nothing_is_left(chest, tmp_path):
    from LungCADLib.phantom import write_phantom

    folder = tmp_path / "dicom"
    write_phantom(folder, chest)

    def delete(step):
        for path in folder.glob("*.dcm"):
            path.unlink()

    with pytest.raises(InputError, match=r"dicom.*cannot be opened: no such file"):
        run(
            Request(folder, tmp_path / "out"),
            Progress(report=lambda step: step.fraction > 0.1 and delete(step), shares={"read": 1}),
        )
    assert not list(tmp_path.glob("*out*"))


def limited(tmp_path, limit):
    """An interpreter under a limit of the shell's."""
    path = tmp_path / "limited-python"
    path.write_text(f'#!/bin/sh\n{limit}\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell's limits are POSIX")
def test_a_disk_that_fills_up_during_a_run_is_said_and_nothing_is_left(nrrd, tmp_path):
    # 8 blocks of 512 bytes: the messages fit, the outlines of the lungs do not.
    out = tmp_path / "out"
    with Job(nrrd, SETTINGS, out=out, python=limited(tmp_path, "ulimit -f 8"), temporary=tmp_path) as job:
        (*_, last) = follow(job, seconds=100)
        assert last.kind == "output" and "disk is full" in last.message, job.log
        assert "lungs" in job.log, "it had begun"
    assert [path.name for path in tmp_path.iterdir()] == ["limited-python"]


@pytest.mark.skipif(sys.platform == "win32", reason="a shell's limits are POSIX")
def test_a_disk_too_full_for_a_single_word_is_said_all_the_same(nrrd, tmp_path):
    with Job(nrrd, SETTINGS, python=limited(tmp_path, "ulimit -f 0"), temporary=tmp_path) as job:
        assert follow(job, seconds=100) == [of_exit(EXIT_CODES["output"], "")]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_cancelled_in_the_middle_the_real_worker_is_gone_in_two_seconds(slab, tmp_path):
    volume = Volume(slab.hu, slab.geometry, Header(source="slab"))
    with Job(volume, SETTINGS, out=tmp_path / "out", temporary=tmp_path) as job:
        follow(job, seconds=100, until=lambda event: isinstance(event, Progressed) and event.stage == "lungs")
        worker = job._worker._process.pid
        asked = time.monotonic()
        job.cancel()
        assert follow(job) == [Failed("cancelled", "Stopped.")]
        assert time.monotonic() - asked < 2.0
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_a_worker_whose_client_is_gone_stops(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    os.mkfifo(tmp_path / "request")
    command = [sys.executable, "-m", "LungCADLib.jobs", str(tmp_path / "request"), "--client", str(gone.pid)]
    answer = subprocess.run(command, capture_output=True, cwd=ROOT, timeout=60)
    assert from_line(answer.stdout.splitlines()[-1]) == Failed("cancelled", "Stopped.")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_a_client_that_is_killed_leaves_no_folder_behind(nrrd, tmp_path):
    code = f"""
import os, signal, time
from pathlib import Path
from LungCADLib.jobs import Job
job = Job(Path({str(nrrd)!r}), temporary=Path({str(tmp_path)!r}))
while not job.poll():
    time.sleep(0.02)
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT)
    assert len(list(tmp_path.iterdir())) == 1
    deadline = time.monotonic() + 60
    while list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list(tmp_path.iterdir()) == []


def test_what_the_caller_knows_of_a_volume_is_in_the_study(nrrd, tmp_path, monkeypatch):
    from LungCADLib import pipeline

    def stop(scan, settings, progress):
        assert scan.header.source == "Chest 1" and scan.header.patient_sex == "female"
        assert scan.header.modality == "CT" and settings == SETTINGS
        raise Cancelled

    monkeypatch.setattr(pipeline, "analyze", stop)
    header = Header(source="Chest 1", patient_sex="female")
    with pytest.raises(Cancelled):
        run(Request(nrrd, tmp_path / "out", header=header, settings=SETTINGS), Progress())


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


@pytest.mark.parametrize(
    ("error", "kind", "word"),
    [
        (InputError("a\nb is empty."), "input", "a b is empty."),
        (OutputError("x cannot be written."), "output", "x cannot be written."),
        (KeyboardInterrupt(), "cancelled", "Stopped."),
        (Cancelled("stopped during lungs"), "cancelled", "Stopped."),
        (MemoryError(), "memory", "not enough free memory"),
        (np._core._exceptions._ArrayMemoryError((9,), np.dtype(int)), "memory", "not enough free memory"),
        (RuntimeError("itk: Failed to allocate memory for image."), "memory", "not enough free memory"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate"), "memory", "The GPU has not enough free memory"),
        (RuntimeError("CUDA error: unspecified launch failure\nmore"), "device", "unspecified launch failure); choose"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "missing", "The package torch is missing"),
        (OSError(28, "No space left on device", "/tmp/x"), "output", "The disk is full (/tmp/x)"),
        (OSError("problem writing element 4096 to file"), "output", "The disk is full"),
        (OSError("9000 requested and 4096 written"), "output", "The disk is full"),
        (ValueError("first\nsecond"), "internal", "Error inside LungCAD: ValueError: first"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_error_has_a_kind_and_one_line(error, kind, word):
    failed = of_error(error)
    assert failed.kind == kind and word in failed.message and "\n" not in failed.message


@pytest.mark.parametrize(
    ("code", "log", "kind", "word"),
    [
        (-9, "", "memory", "lack of memory"),
        (137, "", "memory", "lack of memory"),
        (-11, "", "internal", "(SIGSEGV)"),
        (1, "Fatal Python error: Segmentation fault", "internal", "crashed inside a library"),
        (4, "", "output", "The disk for temporary files is full"),
        (1, "Traceback", "internal", "exit code 1"),
    ],
)
def test_every_exit_without_a_word_is_explained(code, log, kind, word):
    failed = of_exit(code, log)
    assert failed.kind == kind and word in failed.message


class Said(list):
    def write(self, line):
        self.append(from_line(line))
        return len(line)


def test_a_voice_never_goes_back_and_does_not_babble():
    said = Said()
    voice = Voice(said)
    for fraction in np.linspace(0.2, 0.1, 500):
        voice.step(Step("lungs", float(fraction)))
    voice.step(Step("candidates", 0.05))
    assert len(said) < 50
    assert [event.fraction for event in said] == sorted(event.fraction for event in said)
    assert said[-1].stage == "candidates"


@pytest.mark.parametrize(
    ("passed", "fraction", "left"), [(10, 0.5, 10), (30, 0.75, 10), (0.5, 0.5, None), (9, 0.01, None), (9, 1, 0)]
)
def test_time_left_is_what_the_pace_so_far_says(passed, fraction, left):
    assert seconds_left(passed, fraction) == left


def test_what_libraries_print_goes_to_the_log_and_not_among_the_messages(tmp_path):
    code = """
import os
from LungCADLib.jobs import worker
stream = worker._messages_stream()
print("from python", flush=True)
os.write(1, b"from c")
stream.write(b"a message")
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT)
    assert answer.stdout == b"a message"
    assert b"from python" in answer.stderr and b"from c" in answer.stderr
