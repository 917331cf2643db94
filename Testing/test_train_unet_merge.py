"""What teaches the slice U-Net: pictures with nodules anywhere, who is left out, and a training that goes on."""

import numpy as np
import pytest

from LungCADLib.scan import AIR_HU
from LungCADLib.training.insertions import Nodule
from LungCADLib.training.slice_canvases import SIDE, Canvases, Place
from LungCADLib.training.slice_sheets import (
    NOBODY,
    NODULE,
    NOTHING,
    UNKNOWN,
    Ground,
    Piece,
    Sheets,
    as_piece,
    phantom_sheets,
)

torch = pytest.importorskip("torch")
pytest.importorskip("monai")


def sheets(name="scan", fold=0, lesion=False):
    """Soft tissue with a lung of 100 pixels in the middle."""
    hu = np.full((6, 180, 200), 40, np.int16)
    region = np.zeros(hu.shape, bool)
    region[:, 40:140, 50:150] = True
    hu[region] = -860
    truth = np.zeros(hu.shape, np.uint8)
    if lesion:
        truth[2:4, 60:80, 70:90] = UNKNOWN
    return Sheets(name, fold, hu, region, truth)


def piece(fold=0, nodule=True):
    """Lung of 40 x 40 pixels, brighter than the sheets', with a nodule in the middle."""
    hu = np.full((40, 40), -800, np.int16)
    truth = np.zeros((40, 40), np.uint8)
    if nodule:
        truth[17:23, 17:23] = NODULE
    hu[truth == NODULE] = 60
    return Piece(fold, hu, truth)


def ball(patient="P"):
    share = np.zeros((11, 11, 11), np.float32)
    z, y, x = np.mgrid[-5:6, -5:6, -5:6]
    share[np.sqrt(z**2 + y**2 + x**2) <= 4] = 1
    return Nodule(patient, np.where(share > 0.5, 50, -850).astype(np.float32), share)


@pytest.fixture
def ground():
    return Ground([sheets()], [piece(), piece(nodule=False)], [(0, ball())])


def test_nodules_are_anywhere_and_not_only_in_the_middle(ground):
    _, truth = Canvases(ground)(np.random.default_rng(0), 40)
    assert truth.shape == (40, SIDE, SIDE)
    often = (truth == NODULE).mean(axis=0)
    assert often.max() < 0.3
    third = SIDE // 3
    assert often[third : 2 * third, third : 2 * third].sum() < 0.6 * often.sum()


def test_every_nodule_in_a_picture_is_whole_and_bright(ground):
    from scipy import ndimage

    hu, truth = Canvases(ground)(np.random.default_rng(1), 20)
    sizes = []
    for one, said in zip(hu, truth, strict=True):
        labels, count = ndimage.label(said == NODULE)
        sizes += np.bincount(labels.ravel())[1:].tolist()
        assert np.median(one[said == NODULE]) > -100
        assert count >= 2
    # Pieces' nodules have 36 pixels, the ball's slices from 5 to 49; two may touch.
    assert min(sizes) >= 4


def test_pieces_without_a_nodule_are_set_in_too(ground):
    hu, truth = Canvases(ground)(np.random.default_rng(2), 30)
    brighter = (np.abs(hu + 800) < 30) & (truth == NOTHING)
    # Two pieces with and one without: 3 x 1,600 pixels less the nodules, where nothing covers them.
    assert 2000 < brighter.sum(axis=(1, 2)).mean() < 4800


def test_what_is_unknown_stays_unknown():
    canvases = Canvases(Ground([sheets(lesion=True)], [piece()], [(0, ball())]))
    _, truth = canvases(np.random.default_rng(3), 60)
    assert (truth == UNKNOWN).any()


def test_hard_places_are_shown_more_often(ground):
    sheet = ground.sheets[0]
    hu = sheet.hu.copy()
    hu[4, 50:54, 60:64] = 300
    marked = Ground([Sheets(sheet.name, 0, hu, sheet.region, sheet.truth)], ground.pieces, ground.nodules)

    def shown(hard):
        pictures, _ = Canvases(marked, hard)(np.random.default_rng(4), 60)
        return (pictures > 200).any(axis=(1, 2)).mean()

    assert shown([Place(0, (4, 52, 62), 1.0)]) > shown([]) + 0.2


def test_a_window_at_the_edge_is_filled_with_air():
    edge = sheets()
    edge.region[:] = False
    edge.region[:, :4, :4] = True
    hu, _ = Canvases(Ground([edge], [piece()], [(0, ball())]))(np.random.default_rng(5), 4)
    assert (np.abs(hu - AIR_HU) < 250).mean() > 0.2


def test_a_fold_leaves_its_patients_out():
    ground = Ground(
        [sheets(fold=0), sheets("phantom 0", NOBODY), sheets(fold=1)], [piece(0), piece(1)], [(0, ball()), (1, ball())]
    )
    left = ground.without(1)
    assert [sheet.fold for sheet in left.sheets] == [0, NOBODY]
    assert [one.fold for one in left.pieces] == [0] and [fold for fold, _ in left.nodules] == [0]


def test_a_slice_of_any_pixel_size_comes_to_1_mm():
    mask = np.zeros((71, 71), bool)
    mask[30:50, 30:50] = True
    made = as_piece(np.full((71, 71), -800, np.int16), mask, 0.5, 2)
    assert made.hu.shape == (36, 36) and made.fold == 2
    assert made.truth.sum() == pytest.approx(100, abs=21)


def test_phantoms_know_their_nodules(monkeypatch):
    from LungCADLib.phantom import NoduleSpec, small_phantom
    from LungCADLib.training import slice_sheets

    nodules = [NoduleSpec(14.0)]
    monkeypatch.setattr(
        slice_sheets, "varied_phantom", lambda seed: small_phantom(seed, nodules=nodules, spacing=(2.5, 1.4, 1.4))
    )
    (made,) = phantom_sheets(1, 0, lambda said: None)
    volume = (made.truth == NODULE).sum() * 2.5
    assert volume == pytest.approx(np.pi / 6 * 14**3, rel=0.25)
    assert made.region[made.truth == NODULE].mean() > 0.9


def test_hard_places_are_where_nothing_is(ground):
    from LungCADLib.training.unet_merge import hard_places

    sheet = sheets(lesion=True)
    sheet.hu[2, 64:70, 74:80] = 100  # in the unknown lesion
    sheet.hu[2, 100:106, 100:106] = 100
    sheet.hu[4, 120:126, 60:66] = 100
    places = hard_places(bright(), [sheet])
    assert {place.at[0] for place in places} == {2, 4}
    assert all(place.at[1] in (102, 103) or place.at[1] in (122, 123) for place in places)


def bright():
    """A slice U-Net that takes what is denser than about -300 HU for a nodule: its first features pass the HU on."""
    from LungCADLib.detection.slice_unet import WIDTHS, slice_unet

    network = slice_unet(WIDTHS).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for block in (network.contracting[0], network.expanding[-1]):
            for k in (0, 4):
                block[k].weight[0, 0, 1, 1] = 1.0
                block[k + 1].weight[0] = 1.0
        network.answer.weight[0, 0] = 50.0
        network.answer.bias[:] = -10.0
    return network


def test_a_training_goes_on_to_the_same_weights(ground, tmp_path, monkeypatch):
    from LungCADLib.training import trainer, unet_merge
    from LungCADLib.training.unet_merge import train_member

    monkeypatch.setattr(unet_merge, "WIDTHS", (4, 8))
    monkeypatch.setattr(trainer, "SAVED_EVERY", 1)
    whole = train_member(ground, 1, tmp_path / "whole", 4, 0)

    class Killed(Exception):
        pass

    def kill(done):
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        train_member(ground, 1, tmp_path / "killed", 4, 0, done=kill)
    again = train_member(ground, 1, tmp_path / "killed", 4, 0)
    for one, other in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_the_loss_does_not_see_what_is_unknown():
    from LungCADLib.detection.slice_unet import slice_unet
    from LungCADLib.training.unet_merge import loss

    network = slice_unet((4, 8)).eval()
    hu = np.full((1, 16, 16), -800, np.float32)
    truth = np.zeros((1, 16, 16), np.uint8)
    truth[0, 4:8, 4:8] = NODULE
    with torch.no_grad():
        before, _ = loss(network, (hu, truth))
        truth[0, 12:, 12:] = UNKNOWN
        masked, parts = loss(network, (hu, truth))
    assert float(masked) < float(before)
    assert float(masked) == pytest.approx(parts["dice"] + parts["entropy"], abs=1e-5)
