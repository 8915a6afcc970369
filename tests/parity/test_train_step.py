"""One training step of the original, everything random injected (gold m): losses, gradients and first update."""

import pytest
import torch
from gold_models import TOLERANCES, arrays, assert_close, gold_model, numbers

from mindeye2.model.diffusion import PriorDraws
from mindeye2.model.upstream import released_name
from mindeye2.train.mixco import Mix, mix_rows
from mindeye2.train.optim import AdamW, one_cycle, parameter_groups
from mindeye2.train.step import Scales, StepTargets, mixed_latents, step_losses

CASE = "m_train_step"
ARRAYS, NUMBERS = arrays(CASE), numbers(CASE)
PARTS = {
    "loss": "total",
    "prior": "prior",
    "clip": "contrastive",
    "lowlevel": "lowlevel_l1",
    "contrastive": "lowlevel_contrastive",
}
RTOL_LOSS, RTOL_GRADIENT, RTOL_UPDATE = (
    TOLERANCES[CASE][name]["suggested_rtol"] for name in ("losses", "gradient_norms", "first_update_norms")
)


@pytest.fixture(scope="module", params=["bimixco", "softclip"])
def step(request):
    """(phase, model after backward, losses): one forward and backward pass with the original's choices."""
    model = gold_model("a1").eval()
    mix, voxels = None, ARRAYS["voxels"][:, 0]
    if request.param == "bimixco":
        mix = Mix(ARRAYS["mixco_perm"], torch.where(ARRAYS["mixco_select"], ARRAYS["mixco_beta_draws"], 1.0))
        voxels = mix_rows(voxels, mix)
        assert_close(voxels, ARRAYS["mixco_voxels_mixed"], CASE, "mixco_voxels_mixed")
    draws = PriorDraws(
        timesteps=ARRAYS["prior_timesteps"],
        noise=ARRAYS["prior_noise"],
        brain_keep=ARRAYS["prior_brain_keep"],
        image_keep=ARRAYS["prior_image_keep"],
    )
    targets = StepTargets(
        ARRAYS["clip_target"],
        mixed_latents(ARRAYS["vae_latents"].float(), mix, legacy=True),
        ARRAYS["teacher_features"].float(),
        ARRAYS["teacher_features_augmented"].float(),
    )
    losses = step_losses(
        model([(0, voxels)], clip_target=targets.tokens, draws=draws),
        targets,
        scales=Scales(),
        temperature=0.006,
        mix=mix,
        legacy=True,
    )
    losses["loss"].backward()
    return request.param, model, losses


@pytest.mark.parametrize("part", PARTS)
def test_losses(step, part):
    phase, _, losses = step
    expected = NUMBERS[phase]["losses_float64"][PARTS[part]]
    assert losses[part].item() == pytest.approx(expected, rel=RTOL_LOSS, abs=0)


def test_gradient_norms(step):
    phase, model, _ = step
    gold, dead = NUMBERS[phase]["gradient_norm_float64"], NUMBERS[phase]["parameters_without_influence"]
    ours = {released_name(name): parameter.grad for name, parameter in model.named_parameters()}
    # The rotary frequencies are the one frozen parameter there, and no parameter here.
    assert ours.keys() == {name for name, norm in gold.items() if norm is not None}
    for name, gradient in ours.items():
        if name in dead:
            assert gradient is None or gradient.norm() < 1e-4, name
        else:
            assert gradient.double().norm().item() == pytest.approx(gold[name], rel=RTOL_GRADIENT, abs=0), name


def test_first_update(step):
    phase, model, _ = step
    gold = NUMBERS[phase]["first_adamw_update_norm_float64"]
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = AdamW(parameter_groups(model.named_parameters(), weight_decay=0.01, legacy=True))
    rate = one_cycle(0, 35, max_lr=3e-4, warmup=2 / 5)
    assert rate == pytest.approx((NUMBERS[phase]["first_step_lr"], NUMBERS[phase]["first_step_beta1"]), rel=1e-9)
    optimizer.step(rate)
    compared = 0
    for name, parameter in model.named_parameters():
        if released_name(name) in gold:
            update = (parameter.detach() - before[name]).double().norm().item()
            assert update == pytest.approx(gold[released_name(name)], rel=RTOL_UPDATE, abs=0), name
            compared += 1
    assert compared == len(gold)


def test_original_leaves_the_latents_of_mixed_voxels_unmixed():
    """The gold losses hold with unmixed latents only; the default mixes them."""
    latents = ARRAYS["vae_latents"].float()
    mix = Mix(ARRAYS["mixco_perm"], ARRAYS["mixco_lambda"])
    assert torch.equal(mixed_latents(latents, mix, legacy=True), latents)
    assert not torch.allclose(mixed_latents(latents, mix), latents)
    assert mixed_latents(latents, None) is latents
