import pytest
import torch
from tiny_decoder import normal

from mindeye2.model.attention import (
    Attention,
    FeedForward,
    GainNorm,
    RelativeBias,
    relative_buckets,
    rotary_table,
    rotate,
)


@pytest.mark.parametrize(("dtype", "eps"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-3), (torch.float64, 1e-3)])
def test_gain_norm_takes_a_large_epsilon_for_all_but_float32(dtype, eps):
    norm = GainNorm(8).to(dtype)
    x = (0.01 * normal(2, 3, 8)).to(dtype)
    exact = x.double()
    exact = (exact - exact.mean(-1, keepdim=True)) / (exact.var(-1, correction=0, keepdim=True) + eps).sqrt()
    torch.testing.assert_close(norm(x).double(), exact, atol=2e-2 if dtype == torch.bfloat16 else 1e-4, rtol=0)


def test_stable_norm_does_not_differentiate_its_divisor():
    norm = GainNorm(8, stable=True)
    x = normal(2, 3, 8).requires_grad_()
    norm(x).square().mul(normal(2, 3, 8, seed=1)).sum().backward()
    y = x.detach().clone().requires_grad_()
    GainNorm(8)(y / y.amax(dim=-1, keepdim=True).detach()).square().mul(normal(2, 3, 8, seed=1)).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
    # The divided values are what the norm acts on: ε weighs differently than on x itself.
    assert not torch.equal(norm(1e-3 * x), GainNorm(8)(1e-3 * x))


def test_the_odd_channel_of_a_narrow_head_does_not_turn():
    x, table = normal(2, 5, 3, 7), rotary_table(5, 7)
    turned = rotate(x, table)
    assert torch.equal(turned[..., 6:], x[..., 6:])
    angle = torch.tensor(4 * 1e4 ** (-4 / 7))
    torch.testing.assert_close(turned[:, 4, :, 4], x[:, 4, :, 4] * angle.cos() - x[:, 4, :, 5] * angle.sin())


def test_rotation_turns_pairs_and_leaves_the_rest():
    x, table = normal(2, 5, 3, 10), rotary_table(5, 6)
    turned = rotate(x, table)
    assert torch.equal(turned[..., 6:], x[..., 6:])
    assert torch.equal(turned[:, 0], x[:, 0])
    position, pair = 3, 1
    angle = torch.tensor(position * 1e4 ** (-2 * pair / 6))
    first, second = x[:, position, :, 2], x[:, position, :, 3]
    torch.testing.assert_close(turned[:, position, :, 2], first * angle.cos() - second * angle.sin())
    torch.testing.assert_close(turned[:, position, :, 3], second * angle.cos() + first * angle.sin())


def test_buckets():
    buckets = relative_buckets(torch.tensor([-40, -1, 0, 15, 16, 31, 32, 127, 128, 5000]))
    assert buckets.tolist() == [0, 0, 0, 15, 16, 21, 21, 31, 31, 31]


def reference_attention(attention, x, rotary, bias):
    """softmax(16 cos(q, k) + bias) v, head by head and in float64, from the docstring's formula."""
    x = attention.norm(x)
    heads, dim = attention.heads, attention.dim_head
    q = rotate(attention.to_q(x).unflatten(-1, (heads, dim)), rotary).double()
    k, v = attention.to_kv(x).chunk(2, dim=-1)
    k = rotate(k.unsqueeze(2), rotary).squeeze(2).double()
    null_k, null_v = attention.null_kv.double()
    k = torch.cat((null_k.expand(len(x), 1, dim), k), dim=1)
    v = torch.cat((null_v.expand(len(x), 1, dim), v.double()), dim=1)
    outputs = []
    for head in range(heads):
        cosine = torch.cosine_similarity(q[:, :, head, None], k[:, None], dim=-1)
        outputs.append(torch.softmax(16 * cosine + bias[:, head].double(), dim=-1) @ v)
    return attention.norm_out(attention.to_out(torch.cat(outputs, dim=-1).float()))


@pytest.mark.parametrize("queries", [7, 3])
def test_attention_formula_for_all_or_the_last_positions(queries):
    torch.manual_seed(0)
    attention = Attention(dim=12, heads=3, dim_head=10)
    x, rotary, bias = normal(2, 7, 12), rotary_table(7, 10), RelativeBias(length=7, heads=3)()
    expected = reference_attention(attention, x, rotary, bias)[:, -queries:]
    torch.testing.assert_close(attention(x, rotary=rotary, bias=bias, queries=queries), expected, atol=1e-5, rtol=1e-5)


def test_feed_forward_formula():
    torch.manual_seed(0)
    block, x = FeedForward(dim=6, mult=3), normal(2, 4, 6)
    value, gate = (block.norm(x) @ block.expand.weight.T).split(18, dim=-1)
    torch.testing.assert_close(block(x), (value * gate * gate.sigmoid()) @ block.contract.weight.T)
