"""Networks on many cases, with as much memory as there is."""

import subprocess
import sys

import pytest

from LungCADLib import compute
from LungCADLib.compute import batches
from LungCADLib.errors import InputError

torch = pytest.importorskip("torch")


class Toy(torch.nn.Module):
    """Answers with a sum over each case; notes its batches; has memory for so many cases at once on each device."""

    def __init__(self, room, error=None):
        super().__init__()
        self.room, self.error = room, error or torch.OutOfMemoryError("CUDA out of memory.")
        self.device = "cpu"
        self.batches = []

    def to(self, device):
        self.device = device
        return self

    def forward(self, x):
        self.batches.append((self.device, len(x)))
        if len(x) > self.room[self.device]:
            raise self.error
        return x.sum(dim=tuple(range(1, x.ndim)))


@pytest.fixture
def a_gpu(monkeypatch):
    """A machine whose "cuda" is the CPU with a name of its own, with room for eight cases by its own account."""
    plain = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda self, where, *more: plain(self, "cpu" if where == "cuda" else where))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(batches, "batch_size", lambda case_bytes, device: 8)


@pytest.fixture
def cases():
    return torch.arange(20.0).reshape(20, 1) * torch.ones(1, 3)


def sums(cases):
    return cases.sum(dim=1).tolist()


def test_answers_come_in_order_in_batches_of_sixteen(cases):
    toy = Toy({"cpu": 16})
    assert compute.predict(toy, cases).tolist() == sums(cases)
    assert toy.batches == [("cpu", 16), ("cpu", 4)]


def test_a_network_of_several_inputs_gets_the_same_cases_of_each(cases):
    network = torch.nn.Bilinear(3, 2, 1)
    others = torch.randn(20, 2)
    assert torch.allclose(compute.predict(network, (cases, others)), network(cases, others), atol=1e-5)


def test_no_case_has_no_answer():
    assert compute.predict(torch.nn.Linear(3, 2), torch.zeros(0, 3)).shape == (0, 2)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.03 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory: you tried"),
        MemoryError(),
    ],
)
def test_out_of_memory_halves_the_batch_and_goes_on(cases, error):
    toy = Toy({"cpu": 5}, error)
    assert compute.predict(toy, cases).tolist() == sums(cases)
    assert [size for _, size in toy.batches] == [16, 8, 4, 4, 4, 4, 4]


def test_a_gpu_that_holds_some_cases_keeps_them_all(a_gpu, cases):
    toy = Toy({"cuda": 3})
    with compute.recording() as used:
        assert compute.predict(toy, cases, "cuda").tolist() == sums(cases)
    assert toy.batches[:3] == [("cuda", 8), ("cuda", 4), ("cuda", 2)]
    assert (used.device, used.warnings) == ("cuda", [])


def test_a_gpu_too_small_for_one_case_leaves_the_work_to_the_cpu_and_says_so(a_gpu, cases):
    toy = Toy({"cuda": 0, "cpu": 16})
    with compute.recording() as used:
        assert compute.predict(toy, cases, "cuda").tolist() == sums(cases)
    assert [device for device, _ in toy.batches] == ["cuda"] * 4 + ["cpu"] * 20
    assert used.device == "cuda and cpu"
    (said,) = used.warnings
    assert said == "The memory of device cuda was too small for a network; it ran on the CPU, which takes longer."


def test_without_a_record_the_fall_to_the_cpu_is_a_python_warning(a_gpu, cases):
    with pytest.warns(RuntimeWarning, match="memory of device cuda was too small"):
        compute.predict(Toy({"cuda": 0, "cpu": 16}), cases, "cuda")


def test_what_was_done_on_the_gpu_is_not_done_again(a_gpu, cases):
    toy = Toy({"cuda": 8, "cpu": 16})

    def network(x):
        answer = toy(x)
        if len(toy.batches) == 1:
            toy.room["cuda"] = 0
        return answer

    with compute.recording():
        assert compute.predict(network, cases, "cuda", modules=[toy]).tolist() == sums(cases)
    assert sum(size for device, size in toy.batches if device == "cpu") == 12


def test_a_function_that_hides_its_modules_cannot_go_to_the_cpu(a_gpu, cases):
    toy = Toy({"cuda": 0})
    toy.to("cuda")
    with pytest.raises(InputError, match="device cuda is too small for this network; choose the device cpu"):
        compute.predict(lambda x: toy(x), cases, "cuda")


def test_a_computer_too_small_for_one_case_says_so(cases):
    with pytest.raises(MemoryError):
        compute.predict(Toy({"cpu": 0}), cases)


def test_other_errors_pass(cases):
    with pytest.raises(RuntimeError, match="shapes"):
        compute.predict(Toy({"cpu": 1}, RuntimeError("shapes differ")), cases)


def test_records_are_of_their_own_run(cases):
    with compute.recording() as outer:
        with compute.recording() as inner:
            compute.predict(Toy({"cpu": 16}), cases)
        assert inner.devices == ["cpu"]
    assert outer.devices == []
    assert outer.device == "cpu"


@pytest.mark.parametrize(
    ("device", "free", "side", "size"),
    [
        ("cpu", None, 40, 16),  # 256 kB a case
        ("cpu", 64 << 30, 40, 16),
        ("cpu", 3 << 30, 64, 8),  # 1 MiB a case: 1 GiB / 100 MiB, down to a power of two
        ("cpu", 64 << 30, 64, 8),  # more free memory changes nothing
        ("cpu", 1 << 30, 64, 4),  # less than 2 GiB free
        ("cpu", 1 << 20, 64, 1),
        ("cuda", 8 << 30, 64, 32),
        ("cuda", 80 << 30, 32, 256),
        ("mps", 80 << 30, 32, 64),
    ],
)
def test_the_batch_fits_the_free_memory(monkeypatch, device, free, side, size):
    monkeypatch.setattr(batches, "free_memory", lambda device: free)
    assert compute.batch_size(4 * side**3, device) == size


NETWORKS = {
    "2d": (lambda: _convolutions(torch.nn.Conv2d, torch.nn.AdaptiveAvgPool2d), (40, 1, 64, 64)),
    "3d": (lambda: _convolutions(torch.nn.Conv3d, torch.nn.AdaptiveAvgPool3d), (40, 1, 16, 16, 16)),
}


def _convolutions(convolution, pool):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        convolution(1, 16, 3, padding=1),
        torch.nn.GroupNorm(4, 16),
        torch.nn.ReLU(),
        convolution(16, 32, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        pool(1),
        torch.nn.Flatten(),
        torch.nn.Linear(32, 1),
    ).eval()


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_same_seed_gives_the_same_bits_whatever_memory_is_free(monkeypatch, kind):
    make, shape = NETWORKS[kind]
    answers = []
    for free in (3 << 30, 300 << 30, None):
        monkeypatch.setattr(batches, "free_memory", lambda device, free=free: free)
        torch.manual_seed(1)
        answers.append(compute.predict(make(), torch.randn(shape)))
    assert all(torch.equal(answers[0], other) for other in answers[1:])


def test_another_process_gives_the_same_bits():
    code = (
        "import torch; from LungCADLib.compute import predict; torch.manual_seed(3); torch.set_num_threads(1);"
        "answer = predict(torch.nn.Conv3d(1, 8, 3).eval(), torch.randn(20, 1, 12, 12, 12)).numpy().tobytes().hex()"
    )
    there = subprocess.run([sys.executable, "-c", f"{code};print(answer)"], capture_output=True, text=True, check=True)
    threads, here = torch.get_num_threads(), {}
    try:
        exec(code, here)
    finally:
        torch.set_num_threads(threads)
    assert there.stdout.strip() == here["answer"]


@pytest.mark.parametrize("kind", NETWORKS)
def test_batches_of_another_size_change_only_the_last_bits(monkeypatch, kind):
    make, shape = NETWORKS[kind]
    network, inputs = make(), torch.randn(shape)
    one, many = (
        torch.cat(compute.in_batches(lambda cases, device: network(inputs[cases]), len(inputs), size, "cpu"))
        for size in (1, 16)
    )
    assert torch.allclose(one, many, rtol=0, atol=1e-5)


def test_no_more_threads_than_cores_and_no_more_than_asked_for(monkeypatch):
    before = torch.get_num_threads()
    try:
        for asked, there, got in ((4, 2, 2), (1, 2, 1)):
            monkeypatch.setattr(batches, "cores", lambda there=there: there)
            torch.set_num_threads(asked)
            compute.predict(Toy({"cpu": 1}), torch.zeros(1, 1))
            assert torch.get_num_threads() == got
    finally:
        torch.set_num_threads(before)


def test_torch_is_told_to_compute_with_bfloat16_only_where_that_is_the_precision(monkeypatch):
    for precision, kind in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        monkeypatch.setattr(compute.devices, "precision", lambda device, precision=precision: precision)
        with compute.autocast("cpu"):
            assert torch.nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == kind


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_real_gpu_the_answers_are_the_cpus():
    network, inputs = NETWORKS["3d"][0](), torch.randn(40, 1, 16, 16, 16)
    with compute.recording() as used:
        there = compute.predict(network, inputs, "cuda")
    assert used.device == "cuda"
    assert torch.allclose(there, compute.predict(network, inputs), atol=0.02)
