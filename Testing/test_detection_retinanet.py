"""MONAI's nodule bundle as a detector: its network, its boxes in the patient, and what is wrong with a folder."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bundle_factory import nodule_bundle

from LungCADLib.bundles import window_count
from LungCADLib.detection import detector
from LungCADLib.errors import Cancelled, InputError
from LungCADLib.masks import Lungs
from LungCADLib.progress import Progress, Step
from LungCADLib.scan import Geometry, Scan
from LungCADLib.study import LungsInfo, LungVerdict

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from LungCADLib.detection import monai_bundle  # noqa: E402
from LungCADLib.detection.monai_bundle import Contract  # noqa: E402
from LungCADLib.detection.retinanet import retinanet  # noqa: E402

Use = Callable[[Path], None]
SMALL = torch.nn.Linear(1, 1)


@pytest.fixture(scope="module")
def network() -> "torch.nn.Module":
    torch.manual_seed(0)
    network = retinanet()
    # Untrained heads score 0.01 everywhere, below the least score.
    torch.nn.init.constant_(network.classification_head.cls_logits.bias, -3.0)
    torch.nn.init.normal_(network.classification_head.cls_logits.weight, std=0.05)
    return network


@pytest.fixture(scope="module")
def bundle(network: "torch.nn.Module", tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nodule_bundle(tmp_path_factory.mktemp("bundle") / monai_bundle.NAME, network)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Make a folder the one where the bundle lies."""
    return lambda folder: monkeypatch.setenv("LUNGCAD_BUNDLE_LUNG_NODULE_CT_DETECTION", str(folder))


def all_lung(scan: Scan) -> Lungs:
    info = LungsInfo("test", LungVerdict("ok"), 0, 0, 0, 0)
    return Lungs(np.ones(scan.hu.shape, np.uint8), np.ones(scan.hu.shape, bool), info)


def scan_of(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], direction: np.ndarray | None = None
) -> Scan:
    grid = Geometry(shape, spacing, (-100.0, 40.0, -300.0), np.eye(3) if direction is None else direction)
    return Scan(np.full(shape, -850, np.int16), grid)


def test_the_network_is_the_published_one(network: "torch.nn.Module") -> None:
    state = network.state_dict()
    assert len(state) == 190
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == 20.90
    assert tuple(state["feature_extractor.body.conv1.weight"].shape) == (64, 1, 7, 7, 7)
    assert tuple(state["classification_head.cls_logits.weight"].shape) == (3, 256, 3, 3, 3)
    assert tuple(state["regression_head.bbox_reg.weight"].shape) == (18, 256, 3, 3, 3)


def test_names_and_answers_are_those_of_monais_own_construction(
    network: "torch.nn.Module", monkeypatch: pytest.MonkeyPatch
) -> None:
    """MONAI uses torchvision's IntermediateLayerGetter, which keeps the children up to the last one wanted."""
    from monai.apps.detection.networks import retinanet_network
    from monai.networks.blocks import backbone_fpn_utils
    from monai.networks.nets import resnet

    class IntermediateLayerGetter(torch.nn.ModuleDict):
        def __init__(self, model: torch.nn.Module, return_layers: dict[str, str]) -> None:
            children = list(model.named_children())
            last = max(i for i, (name, _) in enumerate(children) if name in return_layers)
            super().__init__(dict(children[: last + 1]))
            self.return_layers = return_layers

        def forward(self, x: torch.Tensor) -> OrderedDict[str, torch.Tensor]:
            out = OrderedDict()
            for name, child in self.items():
                x = child(x)
                if name in self.return_layers:
                    out[self.return_layers[name]] = x
            return out

    class TorchvisionModels:
        class _utils:  # noqa: N801
            pass

    TorchvisionModels._utils.IntermediateLayerGetter = IntermediateLayerGetter  # type: ignore[attr-defined]
    monkeypatch.setattr(backbone_fpn_utils, "torchvision_models", TorchvisionModels)
    monkeypatch.setattr(retinanet_network, "_validate_trainable_layers", lambda *a, **k: 5)
    backbone = resnet.resnet50(spatial_dims=3, n_input_channels=1, conv1_t_stride=[2, 2, 1], conv1_t_size=[7, 7, 7])
    features = retinanet_network.resnet_fpn_feature_extractor(backbone, 3, False, [1, 2], None)
    theirs = retinanet_network.RetinaNet(3, 1, 3, features, (16, 16, 8))
    assert list(theirs.state_dict()) == list(network.state_dict())
    theirs.load_state_dict(network.state_dict())

    image = torch.rand(1, 1, 32, 32, 16)
    with torch.inference_mode():
        ours, expected = network.eval()(image), theirs.eval()(image)
    assert [len(ours[key]) for key in ours] == [3, 3]
    for key in expected:
        assert all(torch.equal(a, b) for a, b in zip(ours[key], expected[key], strict=True))


def test_a_bundle_with_random_weights_runs_end_to_end(bundle: Path, use: Use) -> None:
    use(bundle)
    scan = scan_of((32, 64, 64), (1.25, 0.7, 0.7))
    scan.hu[:] = np.random.default_rng(0).normal(-600, 300, scan.hu.shape).astype(np.int16)
    steps: list[Step] = []
    found = detector("retinanet")(scan, all_lung(scan), Progress(steps.append, shares={"": 1}))
    assert 0 < len(found) <= 300
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
    assert all(0.02 <= c.score <= 1 and c.radius_mm > 0 for c in found)
    index = scan.geometry.to_index([c.center_lps_mm for c in found])
    assert (index > -1).all()
    assert (index < scan.hu.shape).all()
    assert steps[-1].fraction == pytest.approx(0.9)


def test_weights_survive_the_way_through_the_file(network: "torch.nn.Module", bundle: Path) -> None:
    read = retinanet()
    monai_bundle.Bundle.read(bundle, monai_bundle.TASK).load(read)
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), read.state_dict().values(), strict=True)
    )


class Bright(torch.nn.Module):
    """A network in the bundle's place that finds what is bright: each location's score is the brightness around it."""

    spatial_dims, num_classes, num_anchors, size_divisible = 3, 1, 3, (16, 16, 8)
    cls_key, box_reg_key = "classification", "box_regression"

    def forward(self, image: "torch.Tensor") -> "dict[str, list[torch.Tensor]]":
        at = image[:, :, 2::4, 2::4, 1::2]  # where MONAI has its anchors' centers
        n, _, x, y, z = at.shape
        logits = [20 * (at - 0.8).repeat(1, 3, 1, 1, 1)]
        logits += [torch.full((n, 3, x // k, y // k, z // k), -20.0) for k in (2, 4)]
        return {"classification": logits, "box_regression": [torch.zeros(n, 18, *each.shape[2:]) for each in logits]}


def rotation(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, s], [0, -s, c]])


UPRIGHT, PRONE, FEET_UP = np.eye(3), np.diag([-1.0, -1.0, 1.0]), np.diag([1.0, 1.0, -1.0])


@pytest.mark.parametrize(
    ("direction", "spacing", "window"),
    [
        (UPRIGHT, (1.25, 0.703125, 0.703125), (512, 512, 192)),
        (UPRIGHT, (2.5, 0.9, 0.6), (32, 32, 16)),
        (PRONE, (2.5, 0.9, 0.6), (512, 512, 192)),
        (FEET_UP, (2.5, 0.9, 0.6), (512, 512, 192)),
        (rotation(25), (2.5, 0.9, 0.6), (512, 512, 192)),
    ],
)
def test_a_mark_lands_where_the_nodule_is_in_the_patient(
    direction: np.ndarray,
    spacing: tuple[float, float, float],
    window: tuple[int, int, int],
    bundle: Path,
    use: Use,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(bundle)
    monkeypatch.setattr("LungCADLib.detection.retinanet.retinanet", lambda *a, **k: Bright())
    monkeypatch.setattr(monai_bundle.Bundle, "load", lambda self, network: network.eval())
    monkeypatch.setattr(monai_bundle, "CPU_WINDOW", window)
    shape = tuple(int(n / s) for n, s in zip((40, 44, 48), spacing, strict=True))
    scan = scan_of(shape, spacing, direction)
    truth = scan.geometry.to_lps([0.3 * shape[0], 0.6 * shape[1], 0.25 * shape[2]])
    voxels = scan.geometry.to_lps(np.stack(np.indices(shape), -1))
    scan.hu[np.linalg.norm(voxels - truth, axis=-1) < 5] = 60

    found = detector("retinanet")(scan, all_lung(scan), Progress())
    assert found
    marked = np.array([c.center_lps_mm for c in found])
    # Every location inside the ball may mark it; locations are 2.8, 2.8 and 2.5 mm apart.
    assert np.linalg.norm(marked - truth, axis=1).max() < 6.5
    assert np.linalg.norm(marked.mean(axis=0) - truth) < 2.5


def test_a_box_by_hand() -> None:
    """A grid of 10 x 20 x 30 voxels: x and y run against the network's axes, z with them."""
    grid = Geometry((10, 20, 30), (2.0, 0.5, 0.5), (5.0, 6.0, 7.0))
    scan = Scan(np.zeros(grid.shape, np.int16), grid)
    box = np.array([[2.0, 3.0, 4.0, 6.0, 9.0, 6.0]])
    [mark] = monai_bundle.candidates(box, np.array([0.5]), grid, scan, all_lung(scan))
    # The box's center is (4, 6, 5): voxel x 29 - 4 = 25, y 19 - 6 = 13, z 5.
    assert mark.center_lps_mm == pytest.approx((5 + 25 * 0.5, 6 + 13 * 0.5, 7 + 5 * 2.0))
    # Sizes 4, 6 and 2 voxels are 2, 3 and 4 mm.
    assert mark.radius_mm == pytest.approx(1.5)
    assert (mark.score, mark.kind) == (0.5, "solid")


def test_a_mark_outside_the_lungs_is_dropped_and_one_on_the_wall_is_kept() -> None:
    grid = Geometry((40, 40, 40), (1.0, 1.0, 1.0))
    scan = Scan(np.zeros(grid.shape, np.int16), grid)
    lungs = all_lung(scan)
    lungs.region[:, :, 20:] = False
    # x from the right: network x 39 - 25 = 14 is 6 mm outside, 39 - 21 = 18 is 2 mm outside; radius 3 mm.
    boxes = np.array([[x - 3.0, 17, 17, x + 3, 23, 23] for x in (14, 18)])
    [kept] = monai_bundle.candidates(boxes, np.array([0.9, 0.8]), grid, scan, lungs)
    assert kept.score == 0.8


def test_no_lung_no_search(bundle: Path, use: Use) -> None:
    use(bundle)
    scan = scan_of((8, 16, 16), (1.25, 0.7, 0.7))
    lungs = all_lung(scan)
    lungs.region[:] = False
    assert detector("retinanet")(scan, lungs, Progress()) == []


def test_progress_counts_windows_and_a_stop_ends_between_them() -> None:
    calls: list[float] = []
    progress = Progress(lambda step: calls.append(step.fraction), lambda: len(calls) == 3, {"": 1})
    net = Bright().eval()
    from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector
    from monai.apps.detection.utils.anchor_utils import AnchorGeneratorWithAnchorShape

    contract = Contract()
    detect = RetinaNetDetector(net, AnchorGeneratorWithAnchorShape(contract.scales, contract.anchors)).eval()
    detect.set_target_keys("box", "label")
    with pytest.raises(Cancelled):
        monai_bundle.marks(detect, np.zeros((128, 64, 32), np.float32), contract, (32, 32, 16), "cpu", progress)
    assert window_count([128, 64, 32], (32, 32, 16), 0.25) == 5 * 3 * 3
    assert calls == pytest.approx([0.05 + 0.85 * k / 45 for k in (1, 2, 3)])


def test_half_precision_does_not_move_boxes() -> None:
    """Near voxel 200, neighboring numbers of bfloat16 are one apart."""
    from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector
    from monai.apps.detection.utils.anchor_utils import AnchorGeneratorWithAnchorShape

    class Half(Bright):
        def forward(self, image: "torch.Tensor") -> "dict[str, list[torch.Tensor]]":
            return {key: [each.bfloat16() for each in levels] for key, levels in super().forward(image).items()}

    image = np.zeros((256, 32, 16), np.float32)
    image[202, 14, 7] = 1
    found = []
    for network in (Bright(), Half()):
        one = Contract(anchors=((7, 7, 5),) * 3)
        detect = RetinaNetDetector(network, AnchorGeneratorWithAnchorShape(one.scales, one.anchors)).eval()
        detect.set_target_keys("box", "label")
        boxes, _ = monai_bundle.marks(detect, image, one, (64, 32, 16), "cpu", Progress())
        found.append(boxes[:1])
    np.testing.assert_allclose(found[0], found[1])
    np.testing.assert_allclose(found[0].reshape(2, 3).mean(axis=0), [202, 14, 7], atol=0.5)


def test_the_window_count_is_the_sliding_windows_own() -> None:
    from monai.inferers import SlidingWindowInferer

    for size in ([64, 64, 32], [80, 64, 40], [192, 112, 48], [40, 64, 32]):
        calls: list[int] = []

        def count(x: "torch.Tensor", calls: list[int] = calls) -> "torch.Tensor":
            calls.append(1)
            return x

        SlidingWindowInferer((64, 64, 32), overlap=0.25, sw_batch_size=1)(torch.zeros(1, 1, *size), count)
        assert len(calls) == window_count(size, (64, 64, 32), 0.25)


def test_what_the_bundle_says_counts(tmp_path: Path) -> None:
    steps = [
        {"_target_": "Spacingd", "pixdim": [1.0, 1.0, 2.0]},
        {"_target_": "ScaleIntensityRanged", "a_min": -1000, "a_max": 400},
    ]
    operations = ["$@detector.set_box_selector_parameters(score_thresh=0.1,nms_thresh=0.3,detections_per_img=50)"]
    folder = nodule_bundle(
        tmp_path / "b", SMALL, preprocessing={"transforms": steps}, detector_ops=operations, infer_patch_size="@other"
    )
    said = Contract.of(monai_bundle.Bundle.read(folder, monai_bundle.TASK))
    assert said == Contract(
        spacing_mm=(1.0, 1.0, 2.0), hu=(-1000, 400), least_score=0.1, most_shared=0.3, most_boxes=50
    )


def test_the_published_configuration_is_the_contract(bundle: Path) -> None:
    assert Contract.of(monai_bundle.Bundle.read(bundle, monai_bundle.TASK)) == Contract()


class TestRefusals:
    """One sentence each."""

    @pytest.fixture
    def folder(self, tmp_path: Path, use: Use) -> Path:
        folder = nodule_bundle(tmp_path / "bundle", SMALL)
        use(folder)
        return folder

    def refusal(self) -> str:
        scan = scan_of((8, 16, 16), (1.25, 0.7, 0.7))
        with pytest.raises(InputError) as caught:
            detector("retinanet")(scan, all_lung(scan), Progress())
        message = str(caught.value)
        assert "\n" not in message
        return message

    def test_a_folder_without_a_bundle(self, tmp_path: Path, use: Use) -> None:
        use(tmp_path)
        assert "is not a MONAI bundle (metadata.json is missing)" in self.refusal()

    def test_another_bundle(self, folder: Path) -> None:
        (folder / "configs" / "metadata.json").write_text('{"task": "Spleen segmentation"}', encoding="utf-8")
        assert "is a bundle for 'Spleen segmentation'" in self.refusal()

    def test_another_network(self, tmp_path: Path, use: Use) -> None:
        use(nodule_bundle(tmp_path / "b", SMALL, network_def={"_target_": "monai.networks.nets.UNet"}))
        assert "holds UNet" in self.refusal()

    def test_broken_json(self, folder: Path) -> None:
        (folder / "configs" / "inference.json").write_text("{", encoding="utf-8")
        assert "inference.json is not readable JSON" in self.refusal()

    def test_unusable_values(self, tmp_path: Path, use: Use) -> None:
        use(nodule_bundle(tmp_path / "b", SMALL, size_divisible=[16, 16]))
        assert "inference.json has values this LungCAD cannot use" in self.refusal()

    def test_no_weights(self, folder: Path) -> None:
        (folder / "models" / "model.pt").unlink()
        assert "model.pt is missing" in self.refusal()

    def test_damaged_weights(self, folder: Path) -> None:
        path = folder / "models" / "model.pt"
        path.write_bytes(path.read_bytes()[:-100])
        assert "model.pt is not a file of weights, or is damaged" in self.refusal()

    def test_weights_of_another_network(self, folder: Path) -> None:
        assert "holds the weights of another network" in self.refusal()

    def test_a_file_that_would_run_code(self, folder: Path, tmp_path: Path) -> None:
        class Evil:
            def __reduce__(self) -> tuple[object, tuple[Path]]:
                return Path.touch, (tmp_path / "ran",)

        torch.save({"model": Evil()}, folder / "models" / "model.pt")
        assert "could run code" in self.refusal()
        assert not (tmp_path / "ran").exists()
