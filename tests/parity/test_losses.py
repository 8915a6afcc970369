"""Losses and mixing against the original's numbers (gold e), defects included where they are named options."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mindeye2.train.losses import (
    bidirectional_cross_entropy,
    bimixco,
    hard_clip,
    soft_contrastive,
    softclip,
    softclip_temperature,
    unit_rows,
)
from mindeye2.train.mixco import Mix, join_mixes, mix_rows, mixing_epochs

GOLD = Path(__file__).parents[1] / "gold" / "mindeye2"
ARRAYS = np.load(GOLD / "e_losses.npz")
NUMBERS = json.loads((GOLD / "e_losses.json").read_text())

# Of the gold set's tolerances.json: 20 times what float32 costs the original itself.
LOSS_ATOL = {"bimixco": 4.5e-5, "bimixco_fixed_points": 1.4e-5, "bimixco_three_subjects": 4.4e-5}
GRADIENT_ATOL = {"bimixco": 4.2e-5, "bimixco_fixed_points": 2.2e-4, "bimixco_three_subjects": 8.5e-5}
SOFTCLIP_ATOL = {"0.004": (3.1e-5, 2.9e-5), "0.006": (1.5e-5, 2.1e-5), "0.0075": (8.7e-6, 1.7e-5)}


def tensor(name, requires_grad=False):
    return torch.from_numpy(ARRAYS[name]).requires_grad_(requires_grad)


def gradient_of(loss, brain):
    loss.backward()
    return brain.grad.numpy()


@pytest.mark.parametrize("case", LOSS_ATOL)
def test_bimixco_with_the_originals_defects(case):
    brain = tensor(f"{case}_brain", requires_grad=True)
    mix = Mix(tensor(f"{case}_perm"), tensor(f"{case}_lambda"))
    loss = bimixco(brain @ tensor(f"{case}_image").T, mix, legacy=True)
    assert loss.item() == pytest.approx(NUMBERS[case]["loss_original_float64"], abs=LOSS_ATOL[case])
    np.testing.assert_allclose(gradient_of(loss, brain), ARRAYS[f"{case}_grad_brain"], rtol=0, atol=GRADIENT_ATOL[case])


@pytest.mark.parametrize("case", LOSS_ATOL)
def test_bimixco_as_intended(case):
    partner = f"{case}_perm_intended" if f"{case}_perm_intended" in ARRAYS else f"{case}_perm"
    mix = Mix(tensor(partner), tensor(f"{case}_lambda"))
    loss = bimixco(tensor(f"{case}_brain") @ tensor(f"{case}_image").T, mix)
    assert loss.item() == pytest.approx(NUMBERS[case]["loss_intended_float64"], abs=LOSS_ATOL[case])


def test_joined_mixes_offset_the_partners_unless_legacy():
    original = tensor("bimixco_three_subjects_perm")
    weight = tensor("bimixco_three_subjects_lambda")
    mixes = [Mix(*parts) for parts in zip(original.split(4), weight.split(4), strict=True)]
    assert torch.equal(join_mixes(mixes).partner, tensor("bimixco_three_subjects_perm_intended"))
    assert torch.equal(join_mixes(mixes, legacy=True).partner, original)
    assert torch.equal(join_mixes(mixes).weight, weight)


def test_hard_clip():
    brain = tensor("hard_brain", requires_grad=True)
    loss = hard_clip(brain @ tensor("hard_image").T)
    assert loss.item() == pytest.approx(NUMBERS["no_mixing_cross_entropy"]["loss_float64"], abs=3e-5)
    np.testing.assert_allclose(gradient_of(loss, brain), ARRAYS["hard_grad_brain"], rtol=0, atol=2e-4)


@pytest.mark.parametrize("temperature", SOFTCLIP_ATOL)
def test_softclip(temperature):
    loss_atol, gradient_atol = SOFTCLIP_ATOL[temperature]
    brain, image = tensor("softclip_brain", requires_grad=True), tensor("softclip_image")
    loss = softclip(brain @ image.T, image @ image.T, temperature=float(temperature))
    assert loss.item() == pytest.approx(NUMBERS["softclip"][temperature]["loss_float64"], abs=loss_atol)
    np.testing.assert_allclose(
        gradient_of(loss, brain), ARRAYS[f"softclip_grad_brain_{temperature}"], rtol=0, atol=gradient_atol
    )


@pytest.mark.parametrize("temperature", ["0.004", "0.0075"])
def test_softclip_with_nearly_equal_targets(temperature):
    brain, image = tensor("softclip_similar_brain"), tensor("softclip_similar_image")
    loss = softclip(brain @ image.T, image @ image.T, temperature=float(temperature))
    expected = NUMBERS["softclip_similar_targets"][temperature]["loss_float64"]
    assert loss.item() == pytest.approx(expected, abs=SOFTCLIP_ATOL[temperature][0])


def test_soft_contrastive():
    student = tensor("cont_student", requires_grad=True)
    loss = soft_contrastive(student, tensor("cont_teacher"), tensor("cont_teacher_augmented"))
    assert loss.item() == pytest.approx(NUMBERS["soft_contrastive_lowlevel"]["loss_float64"], abs=7.5e-6)
    np.testing.assert_allclose(gradient_of(loss, student), ARRAYS["cont_grad_student"], rtol=0, atol=2.8e-8)


@pytest.mark.parametrize("num_epochs", [150, 300])
def test_softclip_temperatures(num_epochs):
    left = num_epochs - mixing_epochs(num_epochs, 0.33)
    ours = [softclip_temperature(epoch, left) for epoch in range(left)]
    np.testing.assert_allclose(ours, ARRAYS[f"softclip_temperatures_{num_epochs}_epochs"], rtol=0, atol=2e-9)


@pytest.mark.parametrize(("case", "dtype", "atol"), [("mixco", "float32", 6.1e-6), ("mixco_half", "float16", 0.004)])
def test_mixco(case, dtype, atol):
    voxels = tensor("mixco_voxels")[:, 0].to(getattr(torch, dtype))
    weight = torch.where(tensor("mixco_select"), tensor("mixco_beta_draws"), 1.0)
    mixed = mix_rows(voxels, Mix(tensor("mixco_perm"), weight))
    np.testing.assert_allclose(weight.numpy(), ARRAYS[f"{case}_lambda_returned"], rtol=0, atol=5e-4)
    np.testing.assert_allclose(mixed.float().numpy(), ARRAYS[f"{case}_voxels_mixed"][:, 0], rtol=0, atol=atol)


def test_mixing_epochs():
    for case in NUMBERS["mixing_epochs"]:
        assert mixing_epochs(case["num_epochs"], case["mixup_pct"]) == case["first_softclip_epoch"], case


def test_targets_that_sum_to_one_reach_the_entropy_at_best():
    """The gold cases are far from the optimum; at it the loss is the entropy of the targets."""
    targets = torch.eye(4) * 0.7 + torch.roll(torch.eye(4), 1, 1) * 0.3
    entropy = -(0.7 * np.log(0.7) + 0.3 * np.log(0.3))
    logits = targets.clamp_min(1e-30).log()
    assert bidirectional_cross_entropy(logits, targets, targets).item() == pytest.approx(entropy, abs=1e-5)
    torch.testing.assert_close(unit_rows(torch.full((1, 2, 2), 3.0)), torch.full((1, 4), 0.5))
