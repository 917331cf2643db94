"""DiffAugment: what it does by hand, that gradients flow, and that real and generated pictures are treated alike."""

import pytest

torch = pytest.importorskip("torch")

from LungCADLib.training.diff_augment import Transform, apply, augmented, diff_augment, draw  # noqa: E402


def transform(flip=(False, False), shift=(0, 0), cut=(100, 100)):
    return Transform(*(torch.tensor([one]) for one in (flip, shift, cut)))


PICTURE = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4)


def test_a_shift_moves_the_content_and_leaves_the_middle_gray_behind():
    moved = apply(PICTURE, transform(shift=(1, -2)))[0, 0]
    assert moved.tolist() == [[0, 0, 0, 0], [3, 4, 0, 0], [7, 8, 0, 0], [11, 12, 0, 0]]


def test_a_flip_mirrors_one_axis():
    assert torch.equal(apply(PICTURE, transform(flip=(True, False))), PICTURE.flip(2))
    assert torch.equal(apply(PICTURE, transform(flip=(False, True))), PICTURE.flip(3))


def test_a_cut_is_a_square_of_half_the_side_around_its_middle():
    cut = apply(PICTURE, transform(cut=(1, 2)))[0, 0]
    assert cut.tolist() == [[1, 0, 0, 4], [5, 0, 0, 8], [9, 10, 11, 12], [13, 14, 15, 16]]


def test_a_cut_at_the_corner_reaches_beyond_the_picture():
    assert (apply(PICTURE, transform(cut=(0, 0)))[0, 0] == 0).sum() == 1


def test_each_picture_has_its_own_transform_and_channels_go_together():
    pictures = torch.arange(1.0, 801.0).reshape(2, 4, 10, 10)
    both = Transform(
        torch.tensor([[True, False], [False, True]]), torch.tensor([[0, 1], [1, 0]]), torch.full((2, 2), 99)
    )
    out = apply(pictures, both)
    for k in range(2):
        assert torch.equal(out[k : k + 1], apply(pictures[k : k + 1], Transform(*(part[k : k + 1] for part in both))))
    assert torch.equal(out[:, 0] == 0, out[:, 3] == 0)


def test_shifts_stay_within_an_eighth_and_reach_it():
    drawn = draw(500, (40, 40), torch.Generator().manual_seed(0))
    assert drawn.shift.min() == -5
    assert drawn.shift.max() == 5
    assert drawn.cut.min() == 0
    assert drawn.cut.max() == 39
    assert 0.4 < drawn.flip.float().mean() < 0.6


def test_gradients_flow_back_to_the_pixels_that_are_shown_and_to_no_others():
    pictures = torch.rand(8, 1, 40, 40, requires_grad=True)
    drawn = draw(8, (40, 40), torch.Generator().manual_seed(1))
    shown = apply(pictures, drawn)
    shown.sum().backward()
    # A pixel counts once where it is shown and not at all where it was cut or pushed out.
    assert set(pictures.grad.unique().tolist()) == {0.0, 1.0}
    assert pictures.grad.sum(dim=(1, 2, 3)).tolist() == (shown != 0).sum(dim=(1, 2, 3)).tolist()


def test_real_and_generated_pictures_meet_the_same_transforms():
    # The critic is told nothing by the augmentation: the same seed does the same to both, and over many draws the
    # shares of pixels left are the same.
    real, generated = torch.full((400, 1, 40, 40), 0.5), torch.full((400, 1, 40, 40), -0.5)
    one = diff_augment(real, torch.Generator().manual_seed(3))
    other = diff_augment(generated, torch.Generator().manual_seed(3))
    assert torch.equal(one != 0, other != 0)
    another = diff_augment(generated, torch.Generator().manual_seed(4))
    assert not torch.equal(other, another)
    assert (one != 0).float().mean() == pytest.approx(float((another != 0).float().mean()), abs=0.01)


def test_values_are_never_changed_only_moved():
    pictures = torch.rand(4, 1, 40, 40) + 1
    out = diff_augment(pictures)
    for before, after in zip(pictures, out, strict=True):
        assert set(after.unique().tolist()) <= {0.0, *before.unique().tolist()}


def test_a_critic_sees_augmented_pictures_only_and_second_derivatives_exist():
    # The gradient penalty of a WGAN-GP differentiates the critic's gradient once more.
    weight = torch.ones(1, requires_grad=True)
    critic = augmented(lambda pictures: (weight * pictures.square()).sum(dim=(1, 2, 3)))
    between = torch.rand(3, 1, 16, 16, requires_grad=True)
    gradient = torch.autograd.grad(critic(between).sum(), between, create_graph=True)[0]
    (gradient.norm(2, dim=(1, 2, 3)) - 1).square().mean().backward()
    assert weight.grad.abs() > 0


def test_the_seed_decides():
    pictures = torch.rand(4, 1, 40, 40)
    torch.manual_seed(5)
    one = diff_augment(pictures)
    torch.manual_seed(5)
    assert torch.equal(one, diff_augment(pictures))
