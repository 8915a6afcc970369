"""The teacher's features and its augmented views."""

import pytest
import torch

from mindeye2.frozen.convnext import ConvNeXtTeacher, augment, grey, turn_hue


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_one_feature_vector_per_cell_in_reading_order(weights):
    teacher = ConvNeXtTeacher.load(weights / "convnext")
    image = torch.full((1, 3, 64, 64), 0.5)
    changed = image.clone()
    changed[..., :16, 48:] = 0.0
    moved = (teacher.features(changed) - teacher.features(image)).norm(dim=-1)[0]
    assert moved.shape == (16,)
    assert moved.argmax() == 3


def test_views_depend_on_their_own_draws_alone(drawn):
    images, _ = drawn
    together = augment(images, seeded(1))
    generator = seeded(1)
    apart = torch.cat([augment(images[row : row + 1], generator) for row in range(len(images))])
    torch.testing.assert_close(together, apart)
    assert not torch.allclose(together, augment(images, seeded(2)))


def test_views_are_pictures(drawn):
    images, _ = drawn
    views = augment(images.repeat(16, 1, 1, 1), seeded(0))
    assert views.shape == (64, 3, 64, 64)
    assert views.min() >= 0
    assert views.max() <= 1
    spread = (views.amax(dim=1) - views.amin(dim=1)).amax(dim=(1, 2))
    grey_share = (spread < 1e-6).float().mean()
    assert 0.0 < grey_share < 0.3


def test_view_shows_nine_tenths_of_the_area():
    # Right of the border white, left of it black: where it ends up tells scale and place of the crop.
    image = torch.zeros(400, 3, 64, 64)
    image[..., 32:] = 1.0
    views = grey(augment(image, seeded(0)))[:, 0, 32]
    border = (views < views.mean(dim=1, keepdim=True)).sum(dim=1).float()
    reach = 32 / 0.9**0.5 - 32 * (1 / 0.9**0.5 - 1) * torch.tensor([2.0, 0.0])
    assert border.min() >= reach[0].floor() - 1
    assert border.max() <= reach[1].ceil() + 1
    assert border.max() - border.min() >= 2


@pytest.mark.parametrize(
    ("turns", "expected"), [(1 / 3, [0.0, 1.0, 0.0]), (-1 / 3, [0.0, 0.0, 1.0]), (1.0, [1.0, 0.0, 0.0])]
)
def test_hue_of_red(turns, expected):
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    turned = turn_hue(red, torch.tensor([turns]))
    torch.testing.assert_close(turned.flatten(), torch.tensor(expected), atol=1e-5, rtol=0)


def test_hue_keeps_value_and_chroma():
    image = torch.rand(2, 3, 8, 8, generator=seeded(0))
    turned = turn_hue(image, torch.tensor([0.08, -0.05]))
    torch.testing.assert_close(turned.amax(dim=1), image.amax(dim=1))
    torch.testing.assert_close(turned.amin(dim=1), image.amin(dim=1), atol=1e-5, rtol=0)
    torch.testing.assert_close(turn_hue(turned, torch.tensor([-0.08, 0.05])), image, atol=1e-4, rtol=0)
