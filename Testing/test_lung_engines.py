"""Lungs by engines of others: their labels become ours, are judged as ours, and a missing part is one sentence.

Stand-ins answer in place of lungmask and TotalSegmentator, with the interface of lungmask 0.2.20 to 0.2.22
(`LMInferer`) and of TotalSegmentator 2.18.0 (its command line).
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from bundle_factory import write_bundle

from LungCADLib.errors import Cancelled, InputError
from LungCADLib.lungs import ENGINES, segment_lungs, whole_body_bundle
from LungCADLib.masks import LungLabel
from LungCADLib.phantom import Phantom
from LungCADLib.progress import Progress
from LungCADLib.scan import Geometry, Scan

torch = pytest.importorskip("torch")

SMALL = Scan(np.full((4, 8, 8), -800, np.int16), Geometry((4, 8, 8), (2.0, 1.0, 1.0)))


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def refusal(engine: str, scan: Scan = SMALL) -> str:
    with pytest.raises(InputError) as caught:
        segment_lungs(scan, engine)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_each_engine_says_what_it_needs() -> None:
    for name in ("lungmask", "totalsegmentator", "whole-body"):
        summary = (ENGINES[name].__doc__ or "").splitlines()[0]
        assert "download" in summary


LUNGMASK = """
import numpy as np, SimpleITK as sitk, torch

class LMInferer:
    def __init__(self, modelname="R231", modelpath=None, fillmodel=None, fillmodel_path=None, force_cpu=False,
                 batch_size=20, volume_postprocessing=True, tqdm_disable=False):
        assert modelpath is not None, "would download"
        assert tqdm_disable
        self.labels = np.load(open(modelpath, "rb"))
        self.batch_size = batch_size
        self.model = torch.nn.Identity()

    def apply(self, image):
        assert isinstance(image, sitk.Image)
        for start in range(0, image.GetDepth(), self.batch_size):
            self.model(torch.zeros(1))
        return self.labels
"""


@pytest.fixture
def lungmask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[np.ndarray], None]]:
    """A package lungmask that answers with labels given here."""

    def put(labels: np.ndarray) -> None:
        (tmp_path / "lungmask").mkdir()
        (tmp_path / "lungmask" / "__init__.py").write_text(LUNGMASK, encoding="utf-8")
        np.save(tmp_path / "labels.npy", labels)
        (tmp_path / "labels.npy").rename(tmp_path / "unet_r231-d5d2fc3d.pth")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("LUNGCAD_BUNDLE_LUNGMASK_R231", str(tmp_path))

    yield put
    sys.modules.pop("lungmask", None)


class TestLungmask:
    def test_its_lungs_are_ours_with_the_airways_added(
        self, chest: Phantom, lungmask: Callable[[np.ndarray], None]
    ) -> None:
        truth = chest.masks.lungs
        lungmask(np.where(truth == LungLabel.AIRWAY, 0, truth))
        lungs = segment_lungs(chest.scan, "lungmask")
        for label in (LungLabel.RIGHT, LungLabel.LEFT):
            assert ((lungs.labels == label) == (truth == label)).all()
        assert lungs.info.engine == "lungmask"
        assert lungs.info.verdict.status == "ok"
        assert (lungs.region == ((lungs.labels == LungLabel.RIGHT) | (lungs.labels == LungLabel.LEFT))).all()
        assert lungs.info.airway_ml > 10

    def test_its_lungs_are_judged_as_any_others(self, chest: Phantom, lungmask: Callable[[np.ndarray], None]) -> None:
        lungmask(np.where(chest.masks.lungs == LungLabel.RIGHT, 1, 0))
        verdict = segment_lungs(chest.scan, "lungmask").info.verdict
        assert (verdict.status, verdict.reasons) == ("doubtful", ["only the right lung was found"])

    def test_a_network_that_finds_nothing_leaves_a_safe_region(
        self, chest: Phantom, lungmask: Callable[[np.ndarray], None]
    ) -> None:
        lungmask(np.zeros(chest.scan.hu.shape, np.uint8))
        lungs = segment_lungs(chest.scan, "lungmask")
        assert lungs.info.verdict.status == "failed"
        assert not lungs.labels.any()
        inside = (chest.masks.lungs == LungLabel.RIGHT) | (chest.masks.lungs == LungLabel.LEFT)
        assert lungs.region[inside].mean() > 0.95

    def test_it_can_be_stopped_between_batches(self, chest: Phantom, lungmask: Callable[[np.ndarray], None]) -> None:
        lungmask(chest.masks.lungs)
        seen: list[float] = []
        with pytest.raises(Cancelled):
            segment_lungs(
                chest.scan, "lungmask", Progress(lambda s: seen.append(s.fraction), lambda: len(seen) == 2, {"": 1})
            )
        assert len(seen) == 2

    def test_without_the_package(self) -> None:
        assert refusal("lungmask") == "The lung engine lungmask needs the package lungmask; pip install lungmask."

    def test_without_its_weights_nothing_is_downloaded(
        self, lungmask: Callable[[np.ndarray], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        lungmask(np.zeros(1))
        monkeypatch.delenv("LUNGCAD_BUNDLE_LUNGMASK_R231")
        monkeypatch.setenv("LUNGCAD_WEIGHTS", str(tmp_path / "empty"))
        assert "lungcad models download lungmask_r231" in refusal("lungmask")
        monkeypatch.setenv("LUNGCAD_BUNDLE_LUNGMASK_R231", str(tmp_path / "lungmask"))
        assert "unet_r231-d5d2fc3d.pth is missing" in refusal("lungmask")


TOTALSEGMENTATOR = """
import argparse, json, os, pathlib, sys, time, urllib.request
import numpy as np, SimpleITK as sitk

parser = argparse.ArgumentParser()
parser.add_argument("-i", dest="input")
parser.add_argument("-o", dest="output")
parser.add_argument("-ml", "--ml", action="store_true")
parser.add_argument("-f", "--fast", action="store_true")
parser.add_argument("-q", "--quiet", action="store_true")
parser.add_argument("-d", "--device", choices=("gpu", "cpu", "mps"), default="gpu")
args = parser.parse_args()
here = pathlib.Path(__file__).parent
(here / "said.json").write_text(json.dumps({**vars(args), "pid": os.getpid(), "proxies": urllib.request.getproxies()}))
todo = (here / "todo").read_text()
if todo == "fail":
    print("loading")
    raise SystemExit("RuntimeError: no such GPU")
if todo == "sleep":
    time.sleep(600)
image = sitk.ReadImage(args.input)
if todo == "answer":
    out = sitk.GetImageFromArray(np.load(here / "parts.npy"))
    out.CopyInformation(image)
    sitk.WriteImage(out, args.output)
"""


class TestTotalSegmentator:
    @pytest.fixture(autouse=True)
    def installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        here = tmp_path / "totalsegmentator" / "bin"
        here.mkdir(parents=True)
        (here.parent / "__init__.py").touch()
        (here / "__init__.py").touch()
        (here / "TotalSegmentator.py").write_text(TOTALSEGMENTATOR, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(tmp_path / "weights"))
        (tmp_path / "weights" / "Dataset297_TotalSegmentator_total_3mm_1559subj").mkdir(parents=True)
        return here

    def test_its_parts_become_lungs_and_airway(self, chest: Phantom, installed: Path) -> None:
        truth = chest.masks.lungs
        parts = np.full(truth.shape, 5, np.uint8)  # liver
        parts[truth == LungLabel.RIGHT] = 14
        parts[: len(parts) // 2][truth[: len(parts) // 2] == LungLabel.RIGHT] = 12
        parts[truth == LungLabel.LEFT] = 10
        parts[truth == LungLabel.AIRWAY] = 16
        np.save(installed / "parts.npy", parts)
        (installed / "todo").write_text("answer")
        lungs = segment_lungs(chest.scan, "totalsegmentator")
        for label in (LungLabel.RIGHT, LungLabel.LEFT):
            assert ((lungs.labels == label) == (truth == label)).all()
        assert (lungs.labels[truth == LungLabel.AIRWAY] == LungLabel.AIRWAY).all()
        assert lungs.info.verdict.status == "ok"

        said = json.loads((installed / "said.json").read_text(encoding="utf-8"))
        assert said["ml"]
        assert said["fast"]
        assert said["quiet"]
        assert said["proxies"]["https"] == said["proxies"]["http"] == "http://127.0.0.1:9"
        assert not Path(said["input"]).exists()

    def test_its_last_words_are_told(self, installed: Path) -> None:
        (installed / "todo").write_text("fail")
        assert refusal("totalsegmentator") == "TotalSegmentator failed: RuntimeError: no such GPU"

    def test_no_result_is_told(self, installed: Path) -> None:
        (installed / "todo").write_text("nothing")
        assert "wrote no result" in refusal("totalsegmentator")

    def test_a_stop_ends_its_process(self, installed: Path) -> None:
        (installed / "todo").write_text("sleep")
        said = installed / "said.json"
        with pytest.raises(Cancelled):
            segment_lungs(SMALL, "totalsegmentator", Progress(cancelled=said.exists))
        pid = json.loads(said.read_text(encoding="utf-8"))["pid"]
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)
        pytest.fail("its process is still there")

    def test_without_its_weights_it_is_not_started(self, tmp_path: Path, installed: Path) -> None:
        (tmp_path / "weights" / "Dataset297_TotalSegmentator_total_3mm_1559subj").rmdir()
        assert "run `totalseg_download_weights -t total_fast`" in refusal("totalsegmentator")
        assert not (installed / "said.json").exists()

    def test_without_the_package(self, installed: Path) -> None:
        for path in installed.parent.rglob("*.py"):
            path.unlink()
        installed.rmdir()
        installed.parent.rmdir()
        assert "pip install TotalSegmentator" in refusal("totalsegmentator")


NAMES = {"13": "lung_upper_lobe_left", "16": "lung_middle_lobe_right", "43": "trachea"}
METADATA = {
    "version": "0.2.5",
    "name": "Whole body CT segmentation",
    "task": "TotalSegmentator Segmentation",
    "network_data_format": {"outputs": {"pred": {"channel_def": NAMES}}},
}
NETWORK = {
    "_target_": "SegResNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 105,
    "init_filters": 8,
    "blocks_down": [1, 1],
    "blocks_up": [1],
    "dropout_prob": 0.2,
}


class Shades(torch.nn.Module):
    """A network in the bundle's place that knows parts by their shade, -1 to 1."""

    def forward(self, image: "torch.Tensor") -> "torch.Tensor":
        scores = torch.zeros(len(image), 105, *image.shape[2:])
        for channel, low, high in ((17, -0.9, -0.6), (14, -0.5, -0.2), (43, -1.1, -0.95)):
            scores[:, channel] = 20 * ((image[:, 0] > low) & (image[:, 0] < high))
        scores[:, 5] = 10
        return scores


class TestWholeBody:
    @pytest.fixture
    def bundle(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        nets = pytest.importorskip("monai.networks.nets")
        torch.manual_seed(0)
        settings = {key: value for key, value in NETWORK.items() if not key.startswith("_")}
        network = nets.SegResNet(**settings)
        models = {"model.pt": network, "model_lowres.pt": network}
        folder = write_bundle(tmp_path / "wholeBody", METADATA, {"network_def": NETWORK}, models)
        monkeypatch.setenv("LUNGCAD_BUNDLE_WHOLEBODY_CT_SEGMENTATION", str(folder))
        return folder

    def test_a_bundle_with_random_weights_runs_end_to_end(self, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(whole_body_bundle, "WINDOW", 32)
        scan = Scan(
            np.random.default_rng(0).normal(-300, 400, (24, 40, 44)).clip(-1024, 500).astype(np.int16),
            Geometry((24, 40, 44), (3.0, 3.0, 3.0)),
        )
        steps: list[float] = []
        lungs = segment_lungs(scan, "whole-body", Progress(lambda s: steps.append(s.fraction), shares={"": 1}))
        assert lungs.info.engine == "whole-body"
        assert lungs.labels.shape == scan.hu.shape
        assert steps[-1] == pytest.approx(0.9)

    @pytest.mark.parametrize("direction", [np.eye(3), np.diag([-1.0, -1.0, 1.0]), np.diag([1.0, -1.0, -1.0])])
    def test_sides_and_places_are_the_patients(
        self, direction: np.ndarray, bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A block of tissue with a "right lung" of one shade, a "left lung" of another and air between them."""
        monkeypatch.setattr(whole_body_bundle.Bundle, "load", lambda self, network, file: network.eval())
        monkeypatch.setattr(whole_body_bundle, "_network", lambda bundle: Shades())
        scan = Scan(np.zeros((60, 90, 120), np.int16), Geometry((60, 90, 120), (3.0, 2.0, 2.0), (0, 0, 0), direction))
        scan.hu[:] = 476
        scan.hu[10:50, 30:70, 10:45] = -850  # (hu + 1024) / 750 - 1: -0.77
        scan.hu[15:45, 20:60, 70:110] = -550  # -0.37
        scan.hu[20:60, 40:50, 54:62] = -1024
        lungs = segment_lungs(scan, "whole-body")
        boxes = {
            LungLabel.RIGHT: np.s_[10:50, 30:70, 10:45],
            LungLabel.LEFT: np.s_[15:45, 20:60, 70:110],
            LungLabel.AIRWAY: np.s_[20:60, 40:50, 54:62],
        }
        for label, box in boxes.items():
            truth = np.zeros(scan.hu.shape, bool)
            truth[box] = True
            assert dice(lungs.labels == label, truth) > 0.85

    def test_another_network(self, bundle: Path) -> None:
        path = bundle / "configs" / "inference.json"
        path.write_text(json.dumps({"network_def": {"_target_": "UNet"}}), encoding="utf-8")
        assert "is not wholeBody_ct_segmentation as MONAI publishes it" in refusal("whole-body")

    def test_missing_weights(self, bundle: Path) -> None:
        for path in (bundle / "models").iterdir():
            path.unlink()
        assert "model.pt is missing" in refusal("whole-body")

    def test_without_the_bundle(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("LUNGCAD_BUNDLE_WHOLEBODY_CT_SEGMENTATION", raising=False)
        monkeypatch.setenv("LUNGCAD_WEIGHTS", str(tmp_path))
        assert "lungcad models download wholeBody_ct_segmentation" in refusal("whole-body")
