import pytest
import torch
from tiny_decoder import normal

from mindeye2.errors import UserError
from mindeye2.model.lowlevel import LowLevelBranch


def test_full_size_shapes():
    with torch.device("meta"):
        branch = LowLevelBranch(hidden_dim=32, latents=(4, 28, 28))
        latents, features = branch(torch.empty(2, 32))
    assert latents.shape == (2, 4, 28, 28)
    assert features.shape == (2, 49, 512)


def test_sides_need_not_be_equal_and_features_follow_the_maps_rows():
    torch.manual_seed(0)
    branch = LowLevelBranch(
        hidden_dim=16, latents=(4, 8, 12), widths=(4, 8, 16), groups=4, map_dim=8, feature_dim=20
    ).eval()
    latents, features = branch(normal(2, 16))
    assert latents.shape == (2, 4, 8, 12)
    maps = branch.projector(branch.norm(branch.to_maps(normal(2, 16)).view(2, 8, 2, 3)))
    assert features.shape == (2, 6, 20)
    torch.testing.assert_close(features[:, 4], maps[:, :, 1, 1])


def test_sides_that_the_decoder_cannot_make():
    with pytest.raises(UserError, match=r"low-level latents 8x10: .* multiples of 4"):
        LowLevelBranch(hidden_dim=4, latents=(4, 8, 10))


def test_widths_that_the_groups_do_not_divide():
    with pytest.raises(
        UserError, match=r"lowlevel_widths=\[16, 32, 60\]: each must be a multiple of lowlevel_groups=8"
    ):
        LowLevelBranch(hidden_dim=4, latents=(4, 8, 8), widths=(16, 32, 60), groups=8)
