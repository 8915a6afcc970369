import pytest
import torch
from tiny_decoder import normal
from torch import nn
from torch.nn import functional as F

from mindeye2.model.backbone import LegacyMixer, ResidualMLP, build_backbone


@pytest.mark.parametrize("kind", ["linear", "residual_mlp", "legacy_mixer"])
def test_keeps_the_shape(kind):
    assert build_backbone(kind, hidden_dim=8, num_blocks=3, dropout=0.1)(normal(5, 8)).shape == (5, 8)


def test_linear_is_the_identity_without_parameters():
    backbone = build_backbone("linear", hidden_dim=8, num_blocks=3, dropout=0.1)
    x = normal(5, 8)
    assert torch.equal(backbone(x), x)
    assert not list(backbone.parameters())


def test_residual_blocks_add_up():
    backbone = ResidualMLP(hidden_dim=8, num_blocks=2, dropout=0.5).eval()
    x = expected = normal(5, 8)
    for block in backbone.blocks:
        inner = block.fc1(F.layer_norm(expected, (8,), block.norm.weight, block.norm.bias))
        expected = expected + block.fc2(F.gelu(inner))
    torch.testing.assert_close(backbone(x), expected)
    assert not torch.allclose(expected, x, atol=0.1)


def mixer(dropout):
    backbone = LegacyMixer(hidden_dim=8, num_blocks=2, dropout=dropout)
    for number, parameter in enumerate(backbone.sequence.parameters()):
        nn.init.constant_(parameter, 0.3 + 0.1 * number)
    return backbone


def test_legacy_mixer_equals_two_mixers_over_width_and_a_sequence_of_one():
    """The alternation as the original wires it, with the second norm over an axis of length 1."""
    backbone = mixer(0.5).eval()
    inputs = normal(5, 8)
    x = inputs[:, None]
    p, q = x, x.mT
    for width, sequence in zip(backbone.width, backbone.sequence, strict=True):
        u = width(x) + p
        p = u
        v = sequence(u.mT) + q
        q = v
        x = v.mT
    torch.testing.assert_close(backbone(inputs), x.squeeze(1))


def test_legacy_dropout_scales_or_removes_each_elements_constant():
    """Training noise per element: b2 + w2 GELU(.) times 0 or 1 / (1 - p), independently per block."""
    backbone = mixer(0.25).train()
    torch.manual_seed(0)
    added = backbone(torch.zeros(2000, 8))
    active = [F.gelu(block.fc1(block.norm.bias)) * block.fc2.weight[0] / 0.75 for block in backbone.sequence]
    bias = sum(block.fc2.bias for block in backbone.sequence)
    levels = torch.cat([bias + first * active[0] + second * active[1] for first in (0, 1) for second in (0, 1)])
    nearest = (added.unsqueeze(-1) - levels).abs()
    assert nearest.amin(dim=-1).max() < 1e-6
    shares = nearest.argmin(dim=-1).flatten().bincount(minlength=4) / added.numel()
    torch.testing.assert_close(shares, torch.tensor([0.0625, 0.1875, 0.1875, 0.5625]), atol=0.02, rtol=0)


def test_parameters_without_influence_are_frozen():
    frozen = {name for name, parameter in mixer(0.1).named_parameters() if not parameter.requires_grad}
    expected = {name for name, _ in mixer(0.1).named_parameters() if name.startswith("width.")}
    assert frozen == expected | {"sequence.0.norm.weight", "sequence.1.norm.weight"}
