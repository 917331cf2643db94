"""The 2D CNN of paper 004: what it sees, its layers as printed, its opinion, and where it looked."""

import numpy as np
import pytest
from digital_nodule import LUNG_HU
from slice_factory import star
from test_appearance_engine import measured, nodule

from LungCADLib.errors import InputError
from LungCADLib.malignancy import cnn_2d, rater
from LungCADLib.malignancy.cnn_2d_view import FIXED_MM, NATIVE_PIXELS, PIXELS, Crop, views, widths_mm
from LungCADLib.malignancy.reader_model import MEANING
from LungCADLib.masks import BoxMask

torch = pytest.importorskip("torch")


def width(crop, diameter, spacing=0.7, pixels=NATIVE_PIXELS):
    return float(widths_mm(crop, np.array([diameter]), np.full((1, 2), spacing), pixels)[0])


def test_a_scaled_crop_is_twice_the_nodule_at_least_20_mm_and_no_wider_than_what_is_there():
    assert width(Crop.SCALED, 12.0) == 24.0
    assert width(Crop.SCALED, 4.0) == 20.0
    assert width(Crop.SCALED, 40.0) == pytest.approx(71 * 0.7)
    assert width(Crop.SCALED, 40.0, pixels=32) == pytest.approx(32 * 0.7)


def test_a_fixed_crop_is_the_same_for_all():
    assert width(Crop.FIXED, 4.0) == width(Crop.FIXED, 40.0) == FIXED_MM


def view(radius, spacing, crop, turn=None):
    hu = torch.from_numpy(LUNG_HU + star(71, radius, 0.0, spacing) * (40 - LUNG_HU)).float()[None]
    return views(hu, torch.full((1, 2), spacing), torch.tensor([width(crop, 2 * radius, spacing)]), turn)


def share(seen):
    """Of the crop's side: the diameter of the disc of what is bright."""
    bright = float((seen > (seen.min() + seen.max()) / 2).sum())
    return np.sqrt(4 / np.pi * bright) / PIXELS


@pytest.mark.parametrize("spacing", [0.5, 0.9])
def test_a_scaled_crop_hides_the_size_and_a_fixed_one_shows_it(spacing):
    assert share(view(6.0, spacing, Crop.SCALED)) == pytest.approx(0.5, abs=0.02)
    assert share(view(8.0, spacing, Crop.SCALED)) == pytest.approx(0.5, abs=0.02)
    assert share(view(6.0, spacing, Crop.FIXED)) == pytest.approx(12 / FIXED_MM, abs=0.02)
    assert share(view(8.0, spacing, Crop.FIXED)) == pytest.approx(16 / FIXED_MM, abs=0.02)


def test_a_view_is_the_lung_window_from_0_to_1():
    hu = torch.tensor([-1000.0, -300.0, 400.0, -2000.0, 3000.0]).reshape(5, 1, 1).expand(5, 71, 71)
    seen = views(hu, torch.full((5, 2), 0.7), torch.full((5,), 20.0))
    assert seen.shape == (5, 1, PIXELS, PIXELS)
    assert seen.amin(dim=(1, 2, 3)).tolist() == pytest.approx([0, 0.5, 1, 0, 1])
    assert seen.amax(dim=(1, 2, 3)).tolist() == pytest.approx([0, 0.5, 1, 0, 1])


def test_pixels_that_are_not_square_are_seen_as_the_millimeters_they_are():
    y, x = (np.indices((71, 71)) - 35) * np.array([0.5, 1.0])[:, None, None]
    hu = torch.from_numpy(np.where(np.hypot(y, x) < 8, 40.0, LUNG_HU)).float()[None]
    bright = views(hu, torch.tensor([[0.5, 1.0]]), torch.tensor([32.0]))[0, 0] > 0.4
    assert bright.any(dim=0).sum() == pytest.approx(float(bright.any(dim=1).sum()), abs=3)


def test_the_layers_have_the_sizes_of_the_paper():
    from LungCADLib.malignancy.cnn_2d_network import Cnn2d

    network, seen = Cnn2d().eval(), torch.zeros(2, 1, 124, 124)
    sizes = []
    for block in network.features:
        seen = block(seen)
        sizes.append(tuple(seen.shape[1:]))
    assert sizes == [(32, 62, 62), (64, 31, 31), (64, 15, 15)]
    assert network.answer[1].in_features == 14400
    assert (network.answer[1].out_features, network.answer[3].p, network.answer[4].out_features) == (128, 0.3, 2)


def test_the_number_of_parameters_is_that_of_the_sum_by_hand():
    from LungCADLib.malignancy.cnn_2d_network import Cnn2d

    convolutions = (9 * 1 * 32 + 32) + (9 * 32 * 64 + 64) + (9 * 64 * 64 + 64)
    normalizations = 2 * (32 + 64 + 64)
    connected = (64 * 15 * 15 * 128 + 128) + (128 * 2 + 2)
    assert convolutions + normalizations + connected == 1_899_650
    assert sum(p.numel() for p in Cnn2d().parameters()) == 1_899_650


def test_relu_after_pooling_is_relu_before_it():
    values = torch.randn(3, 4, 10, 10)
    pool, relu = torch.nn.MaxPool2d(2), torch.nn.ReLU()
    assert torch.equal(relu(pool(values)), pool(relu(values)))


def test_the_probability_is_the_softmax_of_the_second_unit():
    answer = torch.tensor([[0.0, np.log(3.0)]])
    ask = torch.nn.Module()
    ask.forward = lambda seen: answer.expand(len(seen), 2).float()
    said = cnn_2d.probabilities([ask], torch.zeros(4, 1, 8, 8))
    assert said.shape == (1, 4)
    assert said[0].tolist() == pytest.approx([0.75] * 4)


def opinion(radius, rays):
    scan, outline = nodule(radius, rays)
    return rater(cnn_2d.NAME)(measured(scan, outline), scan, outline)


def test_a_large_spiculated_nodule_is_more_suspicious_than_a_small_smooth_one():
    small, large = opinion(2.5, 0.0), opinion(10.0, 0.2)
    assert large.value > small.value + 0.3


def test_an_opinion_says_what_it_is_of_and_how_it_was_tested():
    said = opinion(5.0, 0.1)
    assert (said.model, said.meaning) == (cnn_2d.NAME, MEANING)
    assert 0 <= said.low < said.value < said.high <= 1
    assert "AUC 0." in said.tested
    assert "ruler" in said.tested
    assert "not tested" in cnn_2d.tested({"version": "1"})


def test_it_says_that_it_needs_the_ct():
    scan, outline = nodule(5.0, 0.0)
    with pytest.raises(InputError, match="needs the scan"):
        cnn_2d.rate(measured(scan, outline))


def test_use_shows_what_training_showed():
    """The view of a nodule in a scan is that of the slice as the files of slices hold it."""
    from LungCADLib.training.cnn_2d_recipe import seen
    from LungCADLib.training.methods.cases import Cases

    scan, outline = nodule(6.0, 0.1, spacing=0.8, at=(3, -4))
    z, y, x = cnn_2d.slice_of(outline)
    hu = scan.hu[z, y - 35 : y + 36, x - 35 : x + 36][None]
    n = {"texture": np.array([5.0]), "vendor": np.array([""]), "patient": np.array(["X"])}
    case = Cases(hu, hu > -400, np.array([0.8]), np.array([13.2]), np.array([True]), np.array([4]), outlined=True, **n)
    for crop in Crop:
        assert torch.equal(cnn_2d.view_of(scan, outline, 13.2, crop), seen(case, crop))


@pytest.fixture(scope="module")
def member():
    pytest.importorskip("monai")
    from LungCADLib.malignancy.cnn_2d_network import Cnn2d

    torch.manual_seed(0)
    return Cnn2d().eval()


class TestExplanation:
    def test_the_question_is_the_networks_own_log_odds(self, member):
        from LungCADLib.malignancy.cnn_2d_explain import lung, question

        image = torch.rand(1, 1, PIXELS, PIXELS)
        with torch.no_grad():
            said = float(torch.log_softmax(member(image), dim=1).diff(dim=1))
            assert float(question(member)(image - lung())) == pytest.approx(said, abs=1e-5)

    def test_integrated_gradients_add_up_to_the_answer(self, member):
        from LungCADLib.explain import integrated_gradients
        from LungCADLib.malignancy.cnn_2d_explain import question

        score, image = question(member), torch.rand(1, 1, PIXELS, PIXELS)
        with torch.no_grad():
            whole = float(score(image) - score(torch.zeros_like(image)))
        assert integrated_gradients(score, image, 64).sum() == pytest.approx(whole, rel=0.02)

    def test_the_maps_lie_on_the_scan_and_cover_the_crop(self, member):
        from LungCADLib.malignancy.cnn_2d_explain import explain_cnn_2d

        scan, outline = nodule(6.0, 0.1)
        found = explain_cnn_2d(scan, outline, 12.0, [member], Crop.SCALED)
        z, y, x = cnn_2d.slice_of(outline)
        assert [each.name for each in found.maps] == ["grad-cam", "occlusion", "integrated-gradients"]
        for each in found.maps:
            assert each.box[0] == slice(z, z + 1)
            for side, middle in zip(each.box[1:], (y, x), strict=True):
                assert (side.start + side.stop - 1) / 2 == middle
                assert side.stop - side.start == pytest.approx(24 / 0.7, abs=3)
        assert -1 <= found.agreement <= 1

    def test_random_weights_look_elsewhere(self):
        """Adebayo's test on the packaged networks."""
        pytest.importorskip("monai")
        from LungCADLib.malignancy.cnn_2d_explain import explain_cnn_2d

        scan, outline = nodule(8.0, 0.2)
        found = explain_cnn_2d(scan, outline, 16.0, cnn_2d.networks()[:1])
        assert found.chance < 0.8


def test_the_command_asks_it_where_it_is_named(member, tmp_path, monkeypatch, capsys):
    import SimpleITK as sitk

    from LungCADLib.cli import explain, main
    from LungCADLib.engines import networks_can_run

    assert networks_can_run()
    scan, outline = nodule(6.0, 0.1)
    file = tmp_path / "ct.nrrd"
    sitk.WriteImage(scan.geometry.image(scan.hu), str(file))
    monkeypatch.setattr(explain, "_at", lambda scan, point, progress: (point, None, outline))
    monkeypatch.setattr("LungCADLib.malignancy.cnn_2d_explain.networks", lambda: (member,))
    monkeypatch.setattr("LungCADLib.malignancy.cnn_2d_explain.packaged_crop", lambda: Crop.SCALED)
    out = tmp_path / "why"
    words = ["explain", str(file), "--point=0,0,0", "--network", cnn_2d.NAME, "--out", str(out)]
    assert main(words) == 0
    ends = (".png", "-grad-cam.nrrd", "-occlusion.nrrd", "-integrated-gradients.nrrd")
    assert {path.name for path in out.iterdir()} == {f"cnn-2d{end}" for end in ends}
    assert "cnn-2d" in capsys.readouterr().out


def test_a_linear_question_gives_each_pixel_its_own_part():
    """Worked by hand: 2 a - 3 b at (a, b) = (0.5, 2) is 1 - 6."""
    from LungCADLib.explain import integrated_gradients

    class Linear(torch.nn.Module):
        def forward(self, image):
            return (image[:, 0] * torch.tensor([[2.0, -3.0]])).sum(dim=(1, 2))[:, None]

    found = integrated_gradients(Linear(), torch.tensor([[[[0.5, 2.0]]]]))
    assert found.tolist() == [pytest.approx([1.0, -6.0])]


def test_a_square_is_attributed_in_full():
    """The gradient at the end would give 2 a² of a²; along the way it averages to half of that."""
    from LungCADLib.explain import integrated_gradients

    class Square(torch.nn.Module):
        def forward(self, image):
            return (image**2).sum(dim=(1, 2, 3))[:, None]

    assert integrated_gradients(Square(), torch.full((1, 1, 1, 1), 3.0)).item() == pytest.approx(9.0, rel=1e-5)


def test_an_outline_without_voxels_is_refused():
    scan, _ = nodule(5.0, 0.0)
    with pytest.raises(ValueError, match="without voxels"):
        cnn_2d.view_of(scan, BoxMask((0, 0, 0), np.zeros((2, 2, 2), bool)), 10.0, Crop.SCALED)
