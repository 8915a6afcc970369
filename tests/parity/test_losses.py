"""Losses and mixing against the original's numbers (gold e), defects included where they are named options."""

import re

import numpy as np
import pytest
import torch
from gold_models import arrays, atol, numbers, rounding

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

CASE = "e_losses"
ARRAYS, NUMBERS = arrays(CASE), numbers(CASE)
MIXED = [name for name in NUMBERS if name.startswith("bimixco")]
LENGTHS = [int(found[1]) for name in ARRAYS if (found := re.fullmatch(r"softclip_temperatures_(\d+)_epochs", name))]


def tensor(name, requires_grad=False):
    return ARRAYS[name].clone().requires_grad_(requires_grad)


def check_loss(loss, expected):
    """``expected`` holds the original's loss in float32 and float64."""
    close = rounding(expected["loss_float32"], expected["loss_float64"])
    assert loss.item() == pytest.approx(expected["loss_float64"], abs=close, rel=0)


def check(actual, name):
    np.testing.assert_allclose(actual.numpy(), ARRAYS[name].numpy(), rtol=0, atol=atol(CASE, name))


def gradient_of(loss, brain):
    loss.backward()
    return brain.grad


@pytest.mark.parametrize("case", MIXED)
def test_bimixco_with_the_originals_defects(case):
    brain = tensor(f"{case}_brain", requires_grad=True)
    mix = Mix(tensor(f"{case}_perm"), tensor(f"{case}_lambda"))
    loss = bimixco(brain @ tensor(f"{case}_image").T, mix, legacy=True)
    assert loss.item() == pytest.approx(NUMBERS[case]["loss_original_float64"], abs=atol(CASE, case), rel=0)
    check(gradient_of(loss, brain), f"{case}_grad_brain")


@pytest.mark.parametrize("case", MIXED)
def test_bimixco_as_intended(case):
    partner = f"{case}_perm_intended" if f"{case}_perm_intended" in ARRAYS else f"{case}_perm"
    mix = Mix(tensor(partner), tensor(f"{case}_lambda"))
    loss = bimixco(tensor(f"{case}_brain") @ tensor(f"{case}_image").T, mix)
    assert loss.item() == pytest.approx(NUMBERS[case]["loss_intended_float64"], abs=atol(CASE, case), rel=0)


def test_joined_mixes_offset_the_partners_unless_legacy():
    original, intended = tensor("bimixco_three_subjects_perm"), tensor("bimixco_three_subjects_perm_intended")
    weight = tensor("bimixco_three_subjects_lambda")
    rows = torch.unique_consecutive(intended - original, return_counts=True)[1].tolist()
    assert len(rows) == 3
    mixes = [Mix(*parts) for parts in zip(original.split(rows), weight.split(rows), strict=True)]
    assert torch.equal(join_mixes(mixes).partner, intended)
    assert torch.equal(join_mixes(mixes, legacy=True).partner, original)
    assert torch.equal(join_mixes(mixes).weight, weight)


def test_hard_clip():
    brain = tensor("hard_brain", requires_grad=True)
    loss = hard_clip(brain @ tensor("hard_image").T)
    check_loss(loss, NUMBERS["no_mixing_cross_entropy"])
    check(gradient_of(loss, brain), "hard_grad_brain")


@pytest.mark.parametrize("temperature", NUMBERS["softclip"])
def test_softclip(temperature):
    brain, image = tensor("softclip_brain", requires_grad=True), tensor("softclip_image")
    loss = softclip(brain @ image.T, image @ image.T, temperature=float(temperature))
    check_loss(loss, NUMBERS["softclip"][temperature])
    check(gradient_of(loss, brain), f"softclip_grad_brain_{temperature}")


@pytest.mark.parametrize("temperature", NUMBERS["softclip_similar_targets"])
def test_softclip_with_nearly_equal_targets(temperature):
    brain, image = tensor("softclip_similar_brain"), tensor("softclip_similar_image")
    loss = softclip(brain @ image.T, image @ image.T, temperature=float(temperature))
    check_loss(loss, NUMBERS["softclip_similar_targets"][temperature])


def test_soft_contrastive():
    student = tensor("cont_student", requires_grad=True)
    loss = soft_contrastive(student, tensor("cont_teacher"), tensor("cont_teacher_augmented"))
    check_loss(loss, NUMBERS["soft_contrastive_lowlevel"])
    check(gradient_of(loss, student), "cont_grad_student")


@pytest.mark.parametrize("num_epochs", LENGTHS)
def test_softclip_temperatures(num_epochs):
    left = num_epochs - mixing_epochs(num_epochs, 0.33)
    check(
        torch.tensor([softclip_temperature(k, left) for k in range(left)]), f"softclip_temperatures_{num_epochs}_epochs"
    )


@pytest.mark.parametrize(("case", "dtype"), [("mixco", torch.float32), ("mixco_half", torch.float16)])
def test_mixco(case, dtype):
    voxels = tensor("mixco_voxels")[:, 0].to(dtype)
    weight = torch.where(tensor("mixco_select"), tensor("mixco_beta_draws"), 1.0)
    mixed = mix_rows(voxels, Mix(tensor("mixco_perm"), weight))
    assert torch.equal(weight.to(dtype), ARRAYS[f"{case}_lambda_returned"])
    check(mixed[:, None], f"{case}_voxels_mixed")


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
