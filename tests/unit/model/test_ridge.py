import pytest
import torch
from tiny_decoder import normal
from torch.nn import functional as F

from mindeye2.errors import UserError
from mindeye2.model.ridge import Ridge


@pytest.fixture
def ridge():
    return Ridge(voxels=[5, 3], hidden_dim=4)


def test_each_subject_has_its_own_affine_map(ridge):
    voxels = normal(2, 3)
    linear = ridge.linears[1]
    assert torch.allclose(ridge(voxels, 1), voxels @ linear.weight.T + linear.bias)


def test_mlp_is_mindeye1s_input_layer():
    torch.manual_seed(0)
    mlp = Ridge(voxels=[5, 3], hidden_dim=64, alignment="mlp")
    with torch.no_grad():
        mlp.norms[1].weight.normal_()
    voxels, linear, norm = normal(2, 3), mlp.linears[1], mlp.norms[1]
    expected = F.gelu(F.layer_norm(linear(voxels), (64,), norm.weight, norm.bias))
    assert torch.allclose(mlp.eval()(voxels, 1), expected)
    dropped = mlp.train()(voxels, 1)
    kept = dropped != 0
    assert torch.allclose(dropped[kept], 2 * expected[kept])
    assert 0.3 < kept.float().mean() < 0.7


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
