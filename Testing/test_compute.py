"""The machine a run has."""

import os
import subprocess
import sys

import pytest

from LungCADLib import compute
from LungCADLib.compute import devices, machine
from LungCADLib.errors import InputError


def test_cpu_is_chosen_without_importing_torch():
    code = (
        "import sys; from LungCADLib.compute import choose_device; print(choose_device('cpu'), 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["cpu", "False"]


def test_without_torch_auto_is_cpu_and_a_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    assert compute.choose_device("auto") == "cpu"
    assert [choice.device for choice in compute.device_choices()] == ["cpu"]
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


def test_auto_stands_for_what_a_run_prefers(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with compute.preferring("cpu"):
        assert compute.choose_device("auto") == "cpu"
        assert compute.choose_device("cuda") == "cuda"
    assert compute.choose_device("auto") == "cuda"


def test_devices_are_listed_with_their_free_memory_as_auto_would_take_them(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "GeForce RTX 3060")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (5 << 30, 12 << 30))
    monkeypatch.setattr(devices, "cores", lambda: 2)
    gpu, cpu = compute.device_choices()
    assert gpu == compute.DeviceChoice("cuda", "GeForce RTX 3060", 5 << 30)
    assert (cpu.device, cpu.label) == ("cpu", "CPU, 2 cores")
    assert cpu.free_bytes is None or cpu.free_bytes > 0


def test_half_precision_only_where_a_gpu_computes_with_bfloat16(monkeypatch):
    torch = pytest.importorskip("torch")
    for there, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, there=there: there)
        assert compute.precision("cuda") == expected
    assert compute.precision("cpu") == compute.precision("mps") == "float32"


@pytest.fixture
def sandbox(monkeypatch, tmp_path):
    """A container's files of limits, to be filled by the test."""
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    return tmp_path


def test_a_containers_quota_limits_the_cores(monkeypatch, sandbox):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    for quota, cores in (("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("max 100000", 64)):
        (sandbox / "cpu.max").write_text(quota)
        assert compute.cores() == cores


def test_a_containers_limit_and_the_system_bound_the_free_memory(monkeypatch, sandbox):
    monkeypatch.setattr(machine, "_system_memory", lambda: 8 << 30)
    assert compute.free_memory("cpu") == 8 << 30
    (sandbox / "memory.current").write_text(str(1 << 30))
    for limit, free in ((str(4 << 30), 3 << 30), (str(64 << 30), 8 << 30), ("max", 8 << 30)):
        (sandbox / "memory.max").write_text(limit)
        assert compute.free_memory("cpu") == free


def test_free_memory_is_unknown_where_nobody_tells(monkeypatch, sandbox):
    monkeypatch.setattr(machine, "_system_memory", lambda: None)
    assert compute.free_memory("cpu") is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_less_memory_is_free_than_there_is():
    assert 0 < machine._system_memory() < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_peak_memory_grows_with_what_is_held():
    code = (
        "from LungCADLib.compute import peak_memory_mb; before = peak_memory_mb();"
        "held = bytearray(b'1') * (200 << 20); print(peak_memory_mb() - before)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 195 < float(answer.stdout) < 260
