import pytest
import torch
from tiny_decoder import SIZES, normal, tiny

from mindeye2.errors import UserError
from mindeye2.model.diffusion import PriorDraws


def draws(batch):
    generator = torch.Generator().manual_seed(0)
    return PriorDraws.draw((batch, 6, 24), timesteps=12, drop_brain=0.2, drop_image=0.2, generator=generator)


def parts():
    return [(0, normal(3, 11)), (1, normal(2, 7, seed=1))]


def test_encode_shapes():
    out = tiny().encode(normal(3, 7), subject=1)
    assert out.tokens.shape == out.retrieval.shape == (3, 6, 24)
    assert out.lowlevel.shape == (3, 4, 8, 12)
    assert out.lowlevel_features.shape == (3, 6, 20)


def test_optional_parts():
    out = tiny(retrieval=False, lowlevel_latents=None).encode(normal(3, 11))
    assert out.retrieval is out.lowlevel is out.lowlevel_features is None


def test_forward_is_encode_per_subject_and_the_prior_loss():
    model, injected, target = tiny().eval(), draws(5), normal(5, 6, 24, seed=2)
    out = model(parts(), clip_target=target, draws=injected)
    for name in ("tokens", "retrieval", "lowlevel", "lowlevel_features"):
        expected = torch.cat([getattr(model.encode(voxels, subject), name) for subject, voxels in parts()])
        torch.testing.assert_close(getattr(out, name), expected, atol=1e-5, rtol=1e-5)
    expected = model.prior.loss(out.tokens, target, **vars(injected))
    torch.testing.assert_close(out.prior_loss, expected)
    assert model(parts()).prior_loss is None


def test_forward_without_draws():
    with pytest.raises(TypeError, match="needs draws="):
        tiny()(parts(), clip_target=normal(5, 6, 24))


def total(out):
    return out.prior_loss + out.retrieval.sum() + out.lowlevel.sum() + out.lowlevel_features.sum()


@pytest.mark.parametrize("backbone", ["linear", "residual_mlp", "legacy_mixer"])
def test_every_trained_parameter_gets_a_gradient(backbone):
    """What DDP asks of a forward pass."""
    model = tiny(backbone=backbone)
    total(model(parts(), clip_target=normal(5, 6, 24), draws=draws(5))).backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad != (p.grad is not None)] == []


def test_prior_loss_trains_backbone_and_ridge():
    model = tiny()
    model(parts(), clip_target=normal(5, 6, 24), draws=draws(5)).prior_loss.backward()
    assert model.ridge.linears[1].weight.grad.abs().max() > 0


def test_runs_under_ddp(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        model = tiny()
        wrapped = torch.nn.parallel.DistributedDataParallel(model)
        for _ in range(2):
            total(wrapped(parts(), clip_target=normal(5, 6, 24), draws=draws(5))).backward()
    finally:
        torch.distributed.destroy_process_group()
    assert model.token_head.weight.grad.isfinite().all()


def test_runs_under_bfloat16_autocast():
    model = tiny().eval()
    exact = model(parts(), clip_target=normal(5, 6, 24), draws=draws(5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(parts(), clip_target=normal(5, 6, 24), draws=draws(5))
    assert out.prior_loss.dtype == torch.float32
    torch.testing.assert_close(out.prior_loss, exact.prior_loss, rtol=0.05, atol=0)
    torch.testing.assert_close(out.tokens.float(), exact.tokens, atol=0.05, rtol=0)


def test_repeats_are_averaged_after_encoding():
    model, voxels = tiny().eval(), normal(4, 11)
    out = model.encode_repeats(voxels, [[2], [0, 1, 3], [1, 1, 0]])
    each = model.encode(voxels)
    for name in ("tokens", "retrieval", "lowlevel", "lowlevel_features"):
        single = getattr(each, name)
        expected = torch.stack([single[2], single[[0, 1, 3]].mean(dim=0), (2 * single[1] + single[0]) / 3])
        torch.testing.assert_close(getattr(out, name), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("subjects", [[5, 2], [1], [2, 2]])
def test_subjects_must_be_ascending_and_as_many_as_voxels(subjects):
    with pytest.raises(UserError, match="must be ascending and as many as voxels"):
        tiny(subjects=subjects)


def test_building_from_a_seed():
    assert torch.equal(tiny().token_head.weight, tiny().token_head.weight)
    assert tiny(subjects=[2, 5]).subjects == [2, 5]
    assert tiny().subjects is None
    assert tiny().sizes.keys() >= SIZES.keys()
