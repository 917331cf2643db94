"""A job in another process: what is heard, and that nothing and nobody is left behind however it ends.

The workers here are small scripts that behave as badly as workers can; the real one is in test_jobs_worker.py.
"""

import os
import shutil
import stat
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from LungCADLib.jobs import Failed, Finished, Job, Progressed, Volume, client
from LungCADLib.scan import Geometry, Header

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the badly behaved workers are POSIX scripts")

STARTED = '{{"event": "started", "process": {process}, "lungcad": "0", "python": "3"}}'
FINISHED = '{"event": "finished", "folder": "done"}'


@pytest.fixture
def place(tmp_path):
    """Where jobs put their temporary folders."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def start(tmp_path, place):
    """Starts a job whose worker is a script; what it imports is there already."""
    jobs = []

    def start(script, given=Path("ct.nrrd"), **options):
        fake = tmp_path / f"python{len(jobs)}"
        head = f"#!{sys.executable} -SE\nimport os, signal, subprocess, sys, time\n"
        head += "say = lambda line: os.write(1, line.encode() + b'\\n')\n"
        fake.write_text(head + script)
        fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
        jobs.append(Job(given, python=str(fake), temporary=place, **options))
        return jobs[-1]

    yield start
    for job in jobs:
        job.close()


def follow(job, seconds=20.0, until=lambda event: False):
    """Everything the job says, up to its end or to an event of interest."""
    heard, deadline = [], time.monotonic() + seconds
    while job.running and not any(map(until, heard)):
        assert time.monotonic() < deadline, f"no end after {seconds} s: {heard} {job.log}"
        heard += job.poll()
        time.sleep(0.01)
    return heard


def alive(process):
    """Whether a process runs; a zombie that nobody has reaped does not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return Path("/proc").is_dir() is False


def progress(fraction, stage="lungs"):
    return f'{{"event": "progress", "stage": "{stage}", "fraction": {fraction}, "message": "", "seconds_left": 3.5}}'


def test_events_come_in_order_and_the_last_one_says_where_the_files_are(start):
    found = '{"event": "found", "what": "lungs", "folder": "/x/lungs"}'
    lines = [STARTED.format(process=1), progress(0.25), found, progress(0.5), FINISHED]
    job = start("".join(f"say({line!r}); time.sleep(0.05)\n" for line in lines))
    heard = follow(job)
    assert [type(event).__name__ for event in heard] == ["Progressed", "Found", "Progressed", "Finished"]
    assert heard[0] == Progressed("lungs", 0.25, "", 3.5)
    assert heard[-1] == Finished(Path("done"))
    assert not job.running and job.poll() == []


def test_of_steps_that_came_together_only_the_newest_is_told(start, tmp_path):
    said = tmp_path / "said"
    steps = f"for f in range(1000): say({progress('0.%03d')!r} % f)\n"
    job = start(steps + f"open({str(said)!r}, 'w'); time.sleep(1000)")
    assert job.poll() == [], "it only starts"
    while not said.exists():
        time.sleep(0.01)
    (only,) = job.poll()
    assert only.fraction == 0.999


def test_what_is_not_a_message_is_passed_over(start):
    assert follow(start(f"say('hello'); say('[1]'); say('{{}}'); say({FINISHED!r})")) == [Finished(Path("done"))]


def test_a_last_line_without_its_end_is_nobodys(start):
    (last,) = follow(start(f"os.write(1, {FINISHED[:-4]!r}.encode()); sys.exit(3)"))
    assert last == Failed("internal", "The analysis ended without a word (exit code 3); the log may say why.")


def test_a_line_that_comes_in_two_pieces_is_one(start):
    half = len(FINISHED) // 2
    script = f"os.write(1, {FINISHED[:half]!r}.encode()); time.sleep(0.3); say({FINISHED[half:]!r})"
    assert follow(start(script)) == [Finished(Path("done"))]


STOPPED = "The analysis was stopped by the system, most likely for lack of memory; close other programs and retry."
CRASHED = "The analysis crashed inside a library (SIGSEGV); the log shows where."
SILENT = "The analysis ended without a word (exit code 0); the log may say why."
SAID = '{"event": "failed", "kind": "input", "message": "a.nrrd is empty."}'


@pytest.mark.parametrize(
    ("script", "failed"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", Failed("memory", STOPPED)),
        ("os.kill(os.getpid(), signal.SIGSEGV)", Failed("internal", CRASHED)),
        ("pass", Failed("internal", SILENT)),
        (f"say({SAID!r})", Failed("input", "a.nrrd is empty.")),
    ],
    ids=["killed", "crashed", "silent", "says why"],
)
def test_every_end_is_one_clear_sentence_and_leaves_no_file(start, place, script, failed):
    assert follow(start(script)) == [failed]
    assert list(place.iterdir()) == []


def test_a_kill_behind_a_launcher_is_still_seen(start):
    # Slicer's launcher ends with code 1 then, and says so on standard error (ctkAppLauncher.cpp, applicationFinished).
    script = "sys.stderr.write('[/opt/Slicer/bin/python-real] exit abnormally - Report the problem.'); sys.exit(1)"
    assert follow(start(script))[-1].kind == "memory"
    crashed = "sys.stderr.write('Fatal Python error: Segmentation fault\\n'); " + script
    assert follow(start(crashed))[-1].kind == "internal"


def test_an_interpreter_that_is_not_there_is_said(place):
    with Job(Path("ct.nrrd"), python="/nowhere/python", temporary=place) as job:
        (last,) = follow(job)
    assert last.kind == "internal" and "/nowhere/python" in last.message
    assert list(place.iterdir()) == []


FAMILY = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-SE", "-c", '''
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen(["sleep", "1000"])
open(sys.argv[1], "w").write(str(grandchild.pid))
time.sleep(1000)
''', "grandchild"])
while not os.path.exists("grandchild") or not os.path.getsize("grandchild"): time.sleep(0.01)
open({family!r}, "w").write(f"{{os.getpid()}} {{child.pid}} {{open('grandchild').read()}}")
say({progress!r})
"""


@pytest.fixture
def family(tmp_path):
    """A worker with a child and a grandchild, none of which listens when asked to end; and who they are."""
    path = tmp_path / "family"
    return FAMILY.format(family=str(path), progress=progress(0.1)), lambda: [int(p) for p in path.read_text().split()]


def test_cancel_ends_the_whole_tree_within_two_seconds(start, place, family):
    script, members = family
    job = start(script + "time.sleep(1000)")
    follow(job, until=lambda event: isinstance(event, Progressed))
    assert len(members()) == 3 and all(map(alive, members()))
    asked = time.monotonic()
    job.cancel()
    assert time.monotonic() - asked < 0.1
    assert follow(job) == [Failed("cancelled", "Stopped.")]
    assert time.monotonic() - asked < 2.0
    assert not any(map(alive, members()))
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("last", [f"say({FINISHED!r})", "os.kill(os.getpid(), signal.SIGKILL)"], ids=["done", "killed"])
def test_children_that_outlive_the_worker_end_with_it(start, family, last):
    script, members = family
    follow(start(script + last))
    assert not any(map(alive, members()))


def test_a_worker_that_said_its_last_word_and_hangs_is_ended(start):
    started = time.monotonic()
    assert follow(start(f"say({FINISHED!r}); time.sleep(1000)")) == [Finished(Path("done"))]
    assert time.monotonic() - started < 5


def test_a_worker_that_listens_may_clean_up_before_it_ends(start, tmp_path):
    swept = tmp_path / "swept"
    script = f"""
def clean(*args):
    open({str(swept)!r}, "w"); sys.exit()
signal.signal(signal.SIGTERM, clean)
say({progress(0.1)!r})
time.sleep(1000)
"""
    job = start(script)
    follow(job, until=lambda event: isinstance(event, Progressed))
    job.cancel()
    follow(job)
    assert swept.exists()


def test_behind_a_launcher_that_ends_at_once_the_worker_may_still_clean_up(start, tmp_path):
    swept, ready = tmp_path / "swept", tmp_path / "ready"
    worker = f"""
import signal, sys, time
def clean(*args):
    time.sleep(0.3); open({str(swept)!r}, "w"); sys.exit()
signal.signal(signal.SIGTERM, clean)
open({str(ready)!r}, "w")
time.sleep(1000)
"""
    job = start(f"subprocess.Popen([sys.executable, '-SE', '-c', {worker!r}]).wait()")
    while not ready.exists():
        job.poll()
        time.sleep(0.01)
    job.cancel()
    assert follow(job) == [Failed("cancelled", "Stopped.")]
    assert swept.exists()


def test_cancelled_before_it_began_it_never_begins(start, place, tmp_path):
    job = start(f"open({str(tmp_path / 'began')!r}, 'w')")
    job.cancel()
    job.cancel()
    assert follow(job) == [Failed("cancelled", "Stopped.")]
    assert not (tmp_path / "began").exists() and list(place.iterdir()) == []


def test_a_folder_that_is_swept_away_ends_the_job(start, place, tmp_path):
    job = start(
        f"say({progress(0.1)!r}); open({str(tmp_path / 'id')!r}, 'w').write(str(os.getpid())); time.sleep(1000)"
    )
    while not (tmp_path / "id").exists() or not (tmp_path / "id").read_text():
        job.poll()
    for folder in place.iterdir():
        shutil.rmtree(folder)
    (last,) = follow(job)
    assert last.kind == "internal" and "No such file" in last.message
    time.sleep(0.1)
    assert not alive(int((tmp_path / "id").read_text()))


def test_cancel_after_the_end_changes_nothing(start):
    job = start(f"say({FINISHED!r})")
    follow(job)
    job.cancel()
    assert job.poll() == [] and not job.running


def test_close_ends_what_runs_and_removes_the_folder(start, place):
    job = start(f"say({progress(0.1)!r}); time.sleep(1000)")
    follow(job, until=lambda event: isinstance(event, Progressed))
    assert len(list(place.iterdir())) == 1
    closed = time.monotonic()
    job.close()
    assert time.monotonic() - closed < 2 and not job.running and list(place.iterdir()) == []


def test_finished_files_stay_until_the_job_is_closed(start, place):
    job = start(
        "os.mkdir('results'); say('{\"event\": \"finished\", \"folder\": \"' + os.path.abspath('results') + '\"}')"
    )
    (last,) = follow(job)
    assert last.folder.is_dir()
    job.close()
    assert list(place.iterdir()) == []


def test_what_a_killed_worker_had_begun_to_write_goes(start, tmp_path):
    out = tmp_path / "out"
    script = f"""
say({STARTED!r}.format(process=os.getpid()).replace("{{{{", "{{").replace("}}}}", "}}"))
os.mkdir({str(tmp_path)!r} + f"/.out.partial-{{os.getpid()}}")
open({str(tmp_path)!r} + f"/.out.partial-{{os.getpid()}}/study.json", "w")
os.kill(os.getpid(), signal.SIGKILL)
"""
    (tmp_path / ".out.partial-1").mkdir()
    follow(start(script, out=out))
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == [".out.partial-1"], "another run's stays"


def test_a_flood_on_standard_error_neither_blocks_nor_fills_the_disk(start, place, monkeypatch):
    monkeypatch.setattr(client, "LOG_FILE_BYTES", 1 << 20)
    script = f"""
for n in range(400):
    os.write(2, b"x" * 99_999 + b"\\n")
    if n % 20 == 0: say({progress("0.%03d")!r} % n); time.sleep(0.02)
os.write(2, b"the end\\n")
say({FINISHED!r})
"""
    job, sizes = start(script), []
    while job.running:
        job.poll()
        sizes += [path.stat().st_size for path in place.glob("*/log.txt")]
        time.sleep(0.005)
    assert max(sizes) < 20e6
    assert job.log.endswith("the end\n") and len(job.log) <= client.LOG_BYTES


def test_looking_costs_little_whatever_the_worker_does(start):
    job, longest = start(f"say({progress(0.1)!r}); time.sleep(0.5); say({FINISHED!r})"), 0.0
    while job.running:
        # What this process itself worked, so that a busy machine does not count.
        before = time.process_time()
        job.poll()
        longest = max(longest, time.process_time() - before)
        time.sleep(0.01)
    assert longest < 0.1


def test_the_log_can_be_read_while_the_worker_writes_it(start):
    job = start(f"os.write(2, b'reading\\n'); say({progress(0.1)!r}); time.sleep(1000)")
    follow(job, until=lambda event: isinstance(event, Progressed))
    assert job.log == "reading\n"


def volume(shape=(40, 64, 48), dtype=np.int16, name="A/CT: 1"):
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    turned = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    return Volume(values, Geometry(shape, (2.5, 0.7, 0.8), (-1.5, 2.25, 1e-3), turned), Header(source=name))


def test_a_volume_is_handed_over_with_its_name_and_request(start, tmp_path):
    taken = tmp_path / "taken"
    job = start(f"import shutil; shutil.copytree('.', {str(taken)!r}); say({FINISHED!r})", volume())
    follow(job)
    assert {"CT_ 1.nrrd", "request.json"} <= {path.name for path in taken.iterdir()}


@pytest.mark.parametrize("dtype", ["int16", ">i2", "uint8", "float32", "float64", "int32", "uint16"])
def test_a_volume_comes_back_as_it_went(tmp_path, dtype):
    import SimpleITK as sitk

    given = volume(dtype=np.dtype(dtype))
    for _ in given.write(tmp_path / "a.nrrd"):
        pass
    image = sitk.ReadImage(str(tmp_path / "a.nrrd"))
    assert np.array_equal(sitk.GetArrayFromImage(image), given.values)
    wanted = given.geometry.image(np.zeros(given.values.shape, np.uint8))
    for what in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert np.allclose(getattr(image, what)(), getattr(wanted, what)())


def test_a_volume_whose_slices_are_not_in_a_row_comes_back_too(tmp_path):
    import SimpleITK as sitk

    values = np.asfortranarray(volume().values)[::2, :, ::-1]
    given = Volume(values, Geometry(values.shape, (1.0, 1.0, 1.0)))
    for _ in given.write(tmp_path / "a.nrrd"):
        pass
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.nrrd"))), values)


def test_a_volume_of_something_else_than_numbers_is_refused(start, place):
    (last,) = follow(start(f"say({FINISHED!r})", volume(dtype=np.complex64)))
    assert last.kind == "input" and "complex64" in last.message
    assert list(place.iterdir()) == []


def test_cancel_while_the_volume_is_handed_over_leaves_nothing(start, place, monkeypatch):
    monkeypatch.setattr(client, "POLL_S", 0.0)
    job = start(f"say({FINISHED!r})", volume())
    while not list(place.glob("*/*.nrrd")):
        job.poll()
        job.cancel()
        if not job.running:
            break
    assert list(place.iterdir()) == []
    assert not job.running


@pytest.fixture
def small_files():
    """No file of this process may grow beyond 64 kB: what writing to a full disk is like."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_too_full_for_the_volume_is_said(start, place, small_files):
    (last,) = follow(start(f"say({FINISHED!r})", volume()))
    assert last.kind == "output" and "The disk is full" in last.message
    assert list(place.iterdir()) == []


def test_two_jobs_at_once_do_not_meet(start):
    jobs = [start(f"time.sleep(0.2); say({progress(f)!r}); time.sleep(0.2); say({FINISHED!r})") for f in (0.25, 0.75)]
    heard = [[], []]
    while any(job.running for job in jobs):
        for job, events in zip(jobs, heard, strict=True):
            events += job.poll()
        time.sleep(0.01)
    assert [[e.fraction for e in events if isinstance(e, Progressed)] for events in heard] == [[0.25], [0.75]]
    assert all(isinstance(events[-1], Finished) for events in heard)


def test_one_job_after_another_starts_afresh(start, place):
    first = start(f"say({progress(0.9)!r}); time.sleep(1000)")
    follow(first, until=lambda event: isinstance(event, Progressed))
    first.close()
    assert follow(start(f"say({FINISHED!r})")) == [Finished(Path("done"))]


def test_the_worker_gets_this_environment_or_the_one_given(start, monkeypatch):
    monkeypatch.setenv("LUNGCAD_TEST", "mine")
    script = 'say(\'{"event": "failed", "kind": "input", "message": "%s"}\' % os.environ.get(\'LUNGCAD_TEST\'))'
    assert follow(start(script))[-1].message == "mine"
    assert follow(start(script, environment={"LUNGCAD_TEST": "given"}))[-1].message == "given"
