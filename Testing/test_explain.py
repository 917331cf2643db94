"""Heat maps: both methods show what decided, random weights show something else, and maps lie where the patient is."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from LungCADLib.detection.features import NAMES
from LungCADLib.detection.reduction import ReductionModel
from LungCADLib.detection.reduction_explain import explain_candidate, view_grid
from LungCADLib.detection.reduction_network import WIDTHS, reduction_network
from LungCADLib.errors import InputError
from LungCADLib.explain import HeatMap, agreement, grad_cam, likeness, occlusion, on_scan, picture, randomized
from LungCADLib.masks import BoxMask, Lungs
from LungCADLib.phantom import Phantom, TrueNodule
from LungCADLib.scan import Geometry, Scan
from LungCADLib.study import LungsInfo, LungVerdict

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from torch import Tensor, nn  # noqa: E402


class Bright(nn.Module):
    """Speaks for bright spots and against dark ones: the mean of the first kind less that of the second."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        convolution = nn.Conv2d if dims == 2 else nn.Conv3d
        self.features = nn.Sequential(convolution(1, 2, 3, padding=1), nn.ReLU())
        self.answer = nn.Linear(2, 1, bias=False)
        with torch.no_grad():
            self.features[0].weight[0], self.features[0].weight[1] = 1 / 3**dims, -1 / 3**dims
            self.features[0].bias.fill_(-0.05)
            self.answer.weight[:] = torch.tensor([[100.0, -100.0]])

    def forward(self, image: Tensor) -> Tensor:
        answer: Tensor = self.answer(self.features(image).flatten(2).mean(dim=2))
        return answer


def spots(dims: int) -> Tensor:
    """0 everywhere, with a bright spot in one corner and a dark one in the opposite corner."""
    image = torch.zeros(1, 1, *[24] * dims)
    image[(0, 0, *[slice(3, 8)] * dims)] = 1.0
    image[(0, 0, *[slice(16, 21)] * dims)] = -1.0
    return image


def clouds(dims: int) -> Tensor:
    """Bright and dark everywhere, no two places alike."""
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(24,) * dims), 1.0)
    return torch.from_numpy((noise / noise.std()).astype(np.float32))[None, None]


@pytest.mark.parametrize("dims", [2, 3])
class TestMethods:
    def test_both_show_the_spot_that_spoke_for_the_answer(self, dims: int) -> None:
        for found in (grad_cam(Bright(dims), ["features"], spots(dims)), occlusion(Bright(dims), spots(dims), 6)):
            assert found.shape == (24,) * dims
            hottest = np.unravel_index(found.argmax(), found.shape)
            assert all(2 <= at <= 8 for at in hottest)

    def test_only_occlusion_shows_what_spoke_against_it(self, dims: int) -> None:
        against = (slice(16, 21),) * dims
        assert grad_cam(Bright(dims), ["features"], spots(dims))[against].max() == 0
        lost = occlusion(Bright(dims), spots(dims), 6)
        assert lost[against].mean() < -0.5 * lost.max() * lost[(slice(3, 8),) * dims].mean() / lost.max()

    def test_they_agree_and_random_weights_do_not(self, dims: int) -> None:
        # Without what is dark: where hiding raises the answer, a Grad-CAM shows nothing.
        bright = clouds(dims).clamp(min=0)
        cam = grad_cam(Bright(dims), ["features"], bright)
        assert agreement(cam, occlusion(Bright(dims), bright, 6)) > 0.6
        cam = grad_cam(Bright(dims), ["features"], clouds(dims))
        by_chance = [
            likeness(cam, grad_cam(randomized(Bright(dims), seed), ["features"], clouds(dims))) for seed in range(8)
        ]
        assert max(by_chance) < 0.95
        assert np.median(by_chance) < 0.4

    def test_a_gradcam_adds_up_to_the_evidence(self, dims: int) -> None:
        """Features that are averaged give the answer as the sum of their places."""
        image = spots(dims).clamp(min=0)
        cam = grad_cam(Bright(dims), ["features"], image)
        assert cam.sum() == pytest.approx(float(Bright(dims)(image).detach()), rel=1e-4)

    def test_the_network_is_as_before(self, dims: int) -> None:
        network = Bright(dims)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        grad_cam(network, ["features"], spots(dims))
        occlusion(network, spots(dims), 6)
        randomized(network)
        assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())
        assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_likeness_is_that_of_ranks() -> None:
    ramp = np.arange(12.0).reshape(3, 4)
    assert likeness(ramp, ramp**3) == pytest.approx(1)
    assert likeness(ramp, -ramp) == pytest.approx(-1)
    assert likeness(ramp, np.zeros((3, 4))) == 0


def test_a_place_whose_hiding_changes_the_answer_either_way_agrees() -> None:
    cam = np.array([0.0, 1.0, 2.0, 0.0])
    assert agreement(cam, np.array([0.0, 0.5, -1.0, 0.0])) == pytest.approx(1)
    assert agreement(cam, np.array([1.0, 0.0, 0.0, -1.0])) < 0
    assert agreement(cam, np.zeros(4)) == 0


def turn(a: float, b: float) -> np.ndarray:
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return about_z @ about_x


class TestOnScan:
    @settings(max_examples=30)
    @given(
        # ITK's decomposition of a direction fails on subnormal numbers, which no scanner writes.
        st.tuples(*[st.floats(-0.5, 0.5, allow_subnormal=False)] * 2),
        st.tuples(*[st.floats(0.6, 2.5)] * 3),
        st.floats(0.7, 2.0),
        st.tuples(*[st.integers(2, 9)] * 3),
    )
    def test_the_hottest_place_stays_where_it_was(
        self,
        angles: tuple[float, float],
        spacing: tuple[float, float, float],
        step: float,
        hot: tuple[int, int, int],
    ) -> None:
        scan = Geometry((60, 60, 60), spacing, (-30.0, 12.0, 100.0), turn(*angles))
        first = scan.to_lps((5, 5, 5))
        grid = Geometry((12, 12, 12), (step,) * 3, tuple(first.tolist()), turn(*angles))
        distance = np.linalg.norm(np.stack(np.indices(grid.shape), -1) - hot, axis=-1)
        found = on_scan((12 - distance).clip(0).astype(np.float32), grid, scan, "test", "")
        away = scan.to_lps(found.hottest) - grid.to_lps(hot)
        # The nearest voxel of the scan, or one next to it where several are about as near.
        assert np.linalg.norm(away) <= np.linalg.norm(spacing) / 2 + step / 2

    def test_one_slice_stays_one_slice(self) -> None:
        scan = Geometry((10, 40, 40), (2.5, 0.7, 0.7), (3.0, 4.0, 5.0))
        grid = Geometry((1, 20, 20), (2.5, 0.75, 0.75), tuple(scan.to_lps((4, 10, 10)).tolist()))
        found = on_scan(np.ones((1, 20, 20), np.float32), grid, scan, "test", "")
        assert found.box[0] == slice(4, 5)
        assert (found.values[0, 1:-1, 1:-1] == 1).all()

    def test_what_lies_beyond_the_scan_is_left_out(self) -> None:
        scan = Geometry((10, 10, 10), (1.0, 1.0, 1.0))
        grid = Geometry((8, 8, 8), (1.0, 1.0, 1.0), (-4.0, -4.0, 6.0))
        found = on_scan(np.ones((8, 8, 8), np.float32), grid, scan, "test", "")
        assert found.box == (slice(6, 10), slice(0, 4), slice(0, 4))
        assert (found.values == 1).all()


def test_a_picture_shows_for_in_red_and_against_in_blue() -> None:
    scan = Scan(np.full((3, 30, 30), -800, np.int16), Geometry((3, 30, 30), (1.0, 1.0, 1.0)))
    values = np.zeros((1, 20, 20), np.float32)
    values[0, :10], values[0, 10:] = 1, -1
    outline = BoxMask((1, 10, 10), np.ones((1, 6, 6), bool))
    drawn = picture(scan, outline, [HeatMap("test", "", (1, 5, 5), values)], 1)
    assert drawn.shape == (360, 726, 3)
    red, _, blue = drawn[60, 500].astype(int)
    assert red > blue
    red, _, blue = drawn[300, 500].astype(int)
    assert blue > red
    assert ((drawn[:, :360, 1] == 255) & (drawn[:, :360, 0] == 60)).any()


@pytest.fixture(scope="module")
def member() -> nn.Module:
    from LungCADLib.malignancy.appearance_network import AppearanceNetwork

    torch.manual_seed(0)
    return AppearanceNetwork(4).eval()


class TestAppearance:
    def test_a_map_comes_back_turned_as_the_picture_was(self, member: nn.Module) -> None:
        """A method that answers with the picture it is given must give the picture back."""
        from LungCADLib.malignancy.appearance_explain import mean_map, question

        seen = torch.rand(1, 3, 40, 40)
        seen[:, 2] = 1
        same = mean_map([member], seen, lambda score, image: image[0, 0].numpy())
        np.testing.assert_allclose(same, question(member, seen)[1][0, 0].numpy(), atol=1e-6)

    def test_the_question_is_the_networks_own(self, member: nn.Module) -> None:
        from LungCADLib.malignancy.appearance_explain import question

        seen = torch.rand(1, 3, 40, 40) * 2 - 1
        seen[:, 2] = (torch.arange(40) < 30).float()
        seen[:, :2] *= seen[:, 2:]
        score, windows = question(member, seen)
        with torch.no_grad():
            assert float(score(windows)) == pytest.approx(float(member(seen).suspicion), abs=1e-5)

    def test_the_view_lies_on_the_scan_where_it_was_taken(self, chest: Phantom) -> None:
        from LungCADLib.malignancy.appearance import view_of
        from LungCADLib.malignancy.appearance_explain import view_grid

        scan = chest.scan
        _, y, x = np.indices(scan.hu.shape)
        smooth = Scan((10 * x - 7 * y - 400).clip(-1000, 400).astype(np.int16), scan.geometry)
        outline = next(iter(chest.masks.nodules.values()))
        window = view_of(smooth, outline)[0, 0].numpy()
        back = on_scan(window[None], view_grid(smooth, outline), scan.geometry, "test", "")
        assert back.values.shape[0] == 1
        hu = (back.values + 1) / 2 * 1400 - 1000
        inner = (slice(None), slice(2, -2), slice(2, -2))
        assert np.abs(hu - smooth.hu[back.box])[inner].max() < 5

    def test_an_explanation_of_a_nodule(self, chest: Phantom, member: nn.Module) -> None:
        from LungCADLib.malignancy.appearance_explain import explain_appearance

        outline = next(iter(chest.masks.nodules.values()))
        found = explain_appearance(chest.scan, outline, [member])
        assert found.network == "appearance"
        for each in (found.grad_cam, found.occlusion):
            assert each.values.dtype == np.float32
            assert each.values.shape[0] == 1
            center = np.argwhere(outline.full(chest.scan.hu.shape)).mean(axis=0)
            assert all(s.start - 1 <= c <= s.stop for s, c in zip(each.box, center, strict=True))
        assert -1 <= found.agreement <= 1
        assert -1 <= found.chance <= 1


@pytest.fixture(scope="module")
def model() -> ReductionModel:
    torch.manual_seed(0)
    widths = tuple(4 for _ in WIDTHS)
    description = {
        "widths": widths, "mean": [0.0] * len(NAMES), "scale": [1.0] * len(NAMES),
        "slope": 1.0, "intercept": 0.0, "folds": {},
    }  # fmt: skip
    return ReductionModel([reduction_network(widths).state_dict()], description)


class TestReduction:
    def test_the_views_lie_on_the_scan_where_they_were_taken(self) -> None:
        from LungCADLib.detection.views import SPACINGS_MM, WINDOW_HU, pyramid, views

        grid = Geometry((60, 60, 60), (1.0, 1.0, 1.0), (5.0, -8.0, 40.0), turn(0.2, 0.1))
        z, y, x = np.indices(grid.shape)
        hu = (9 * x - 6 * y + 4 * z - 500).clip(-1000, 400).astype(np.int16)
        index = np.array([[30.2, 28.7, 31.1]])
        looked = views(pyramid(hu), index, np.array([4.0]))
        for which, step in enumerate(SPACINGS_MM):
            gray = looked[0, which].astype(np.float32)
            back = on_scan(gray, view_grid(grid, index[0], step), grid, "test", "")
            seen = (back.values - 1) / 254 * (WINDOW_HU[1] - WINDOW_HU[0]) + WINDOW_HU[0]
            inner = (slice(3, -3),) * 3
            assert np.median(np.abs(seen - hu[back.box])[inner]) < 6

    def test_an_explanation_of_a_candidate(
        self, corner: tuple[Scan, Lungs], chest: Phantom, model: ReductionModel
    ) -> None:
        scan, lungs = corner
        center = largest(chest).center_lps_mm
        near, far = explain_candidate(scan, lungs, center, model)
        assert (near.network, far.network) == ("reduction, near view", "reduction, far view")
        assert near.log_odds == far.log_odds
        index = scan.geometry.to_index(center)
        for each in (near, far):
            assert all(s.start <= c <= s.stop for s, c in zip(each.occlusion.box, index, strict=True))
            assert each.grad_cam.values.min() >= 0
        assert near.grad_cam.values.size < far.grad_cam.values.size

    def test_a_place_with_nothing_round(self, corner: tuple[Scan, Lungs], model: ReductionModel) -> None:
        scan, lungs = corner
        with pytest.raises(InputError, match="sees nothing round within 6 mm"):
            explain_candidate(scan, lungs, (9999.0, 0.0, 0.0), model)


def largest(chest: Phantom) -> TrueNodule:
    return max(chest.nodules, key=lambda each: each.diameter_mm)


@pytest.fixture(scope="module")
def corner(chest: Phantom) -> tuple[Scan, Lungs]:
    """A few centimeters around the largest nodule, all of it searched."""
    part = chest.scan.crop(chest.scan.geometry.box_around(largest(chest).center_lps_mm, 30))
    region = np.ones(part.hu.shape, bool)
    return part, Lungs(region.astype(np.uint8), region, LungsInfo("test", LungVerdict("ok"), 0, 0, 0, 0))


def test_the_command_writes_pictures_and_maps(
    chest: Phantom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With stand-ins for the networks: what is written, where, and what is said."""
    import SimpleITK as sitk

    from LungCADLib.cli import main
    from LungCADLib.detection import reduction_explain
    from LungCADLib.explain import Explanation
    from LungCADLib.malignancy import appearance_explain

    def stand_in(name: str, start: tuple[int, int, int]) -> Explanation:
        heat = HeatMap("grad-cam", "evidence", start, np.random.default_rng(0).random((3, 8, 8), np.float32))
        return Explanation(name, 1.5, heat, HeatMap("occlusion", "lost", start, heat.values - 0.5), 0.8, 0.1)

    nodule = largest(chest)
    z, y, x = (int(v) for v in chest.scan.geometry.to_index(nodule.center_lps_mm))
    start = (z - 1, y - 4, x - 4)
    monkeypatch.setattr(appearance_explain, "explain_appearance", lambda scan, outline: stand_in("appearance", start))
    monkeypatch.setattr(
        reduction_explain,
        "explain_candidate",
        lambda *a, **named: [stand_in(f"reduction, {v} view", start) for v in ("near", "far")],
    )
    file = tmp_path / "ct.nrrd"
    sitk.WriteImage(chest.scan.geometry.image(chest.scan.hu), str(file))
    point = ",".join(f"{v:.1f}" for v in nodule.center_lps_mm)
    out = tmp_path / "why"
    assert main(["explain", str(file), f"--point={point}", "--out", str(out)]) == 0
    stems = ("appearance", "reduction-near-view", "reduction-far-view")
    names = {f"{stem}{end}" for stem in stems for end in (".png", "-grad-cam.nrrd", "-occlusion.nrrd")}
    assert {path.name for path in out.iterdir()} == names
    image = sitk.ReadImage(str(out / "appearance-grad-cam.nrrd"))
    assert image.GetOrigin() == pytest.approx(chest.scan.geometry.to_lps(start))
    assert image.GetSpacing() == pytest.approx(chest.scan.spacing[::-1])
    assert "0.80" in capsys.readouterr().out

    assert main(["explain", str(file), f"--point={point}", "--out", str(out)]) == 4
    assert main(["explain", str(file), "--point=9999,0,0", "--out", str(tmp_path / "b")]) == 3
    assert "is not in the scan" in capsys.readouterr().err
