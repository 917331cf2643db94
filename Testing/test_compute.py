"""The machine a run has."""

import subprocess
import sys

import pytest

from LungCADLib import compute
from LungCADLib.errors import InputError


def test_cpu_is_chosen_without_importing_torch():
    code = (
        "import sys; from LungCADLib.compute import choose_device; print(choose_device('cpu'), 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["cpu", "False"]


def test_without_torch_auto_is_cpu_and_a_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(compute, "find_spec", lambda name: None)
    assert compute.choose_device("auto") == "cpu"
    with pytest.raises(InputError, match="needs PyTorch"):
        compute.choose_device("cuda")


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_cuda_then_mps_then_cpu(monkeypatch, cuda, mps, chosen):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert compute.choose_device("auto") == chosen


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_gpu_asked_for_by_name_must_be_there(monkeypatch, name):
    torch = pytest.importorskip("torch")
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda there=there: there)
        if there:
            assert compute.choose_device(name) == name
        else:
            with pytest.raises(InputError, match=f"{name} is not available here"):
                compute.choose_device(name)


def test_a_containers_quota_limits_the_cores(monkeypatch):
    monkeypatch.setattr(compute.os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    for quota, cores in (("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("max 100000", 64)):
        monkeypatch.setattr(compute.Path, "read_text", lambda self, quota=quota: quota)
        assert compute.cores() == cores


def test_peak_memory_grows_with_what_is_held():
    code = (
        "from LungCADLib.compute import peak_memory_mb; before = peak_memory_mb();"
        "held = bytearray(b'1') * (200 << 20); print(peak_memory_mb() - before)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 195 < float(answer.stdout) < 260
