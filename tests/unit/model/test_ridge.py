import pytest
import torch
from tiny_decoder import normal

from mindeye2.errors import UserError
from mindeye2.model.ridge import Ridge


@pytest.fixture
def ridge():
    return Ridge(voxels=[5, 3], hidden_dim=4)


def test_each_subject_has_its_own_affine_map(ridge):
    voxels = normal(2, 3)
    linear = ridge.linears[1]
    assert torch.allclose(ridge(voxels, 1), voxels @ linear.weight.T + linear.bias)


def test_half_precision_betas_are_taken(ridge):
    voxels = normal(2, 5).half()
    assert torch.equal(ridge(voxels, 0), ridge(voxels.float(), 0))


@pytest.mark.parametrize("subject", [-1, 2])
def test_unknown_subject(ridge, subject):
    with pytest.raises(
        UserError, match=rf"subject={subject}: the model has 2 subject\(s\); give a position from 0 to 1"
    ):
        ridge(normal(2, 5), subject)


def test_wrong_number_of_voxels(ridge):
    with pytest.raises(UserError, match="voxels: 5 per row, but the subject at position 1 has 3"):
        ridge(normal(2, 5), 1)
