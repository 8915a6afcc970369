import math

import pytest
import torch

from mindeye2.train.losses import (
    bimixco,
    bimixco_targets,
    hard_clip,
    soft_contrastive,
    softclip,
    softclip_temperature,
    unit_rows,
)
from mindeye2.train.mixco import Mix


def similarity(seed=0, rows=6):
    generator = torch.Generator().manual_seed(seed)
    brain, image = (unit_rows(torch.randn(rows, 3, 4, generator=generator)) for _ in range(2))
    return brain @ image.T, image @ image.T


def test_masses_of_every_row_sum_to_one_even_at_fixed_points():
    mix = Mix(torch.tensor([0, 2, 1]), torch.tensor([0.3, 1.0, 0.6]))
    targets = bimixco_targets(mix)
    torch.testing.assert_close(targets, torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0.4, 0.6]]))
    assert bimixco_targets(mix, legacy=True)[0].tolist() == pytest.approx([0.7, 0, 0])


def test_nothing_mixed_is_hard_clip():
    cosines, _ = similarity()
    mix = Mix(torch.arange(6).roll(1), torch.ones(6))
    torch.testing.assert_close(bimixco(cosines, mix), hard_clip(cosines))


def test_softclip_with_distinct_images_is_hard_clip():
    cosines, _ = similarity()
    torch.testing.assert_close(softclip(cosines, torch.eye(6), temperature=0.006), hard_clip(cosines))


def test_softclip_shares_the_mass_between_equal_images():
    images = torch.ones(2, 2)
    assert softclip(torch.zeros(2, 2), images, temperature=0.005).item() == pytest.approx(math.log(2))
    assert softclip(torch.eye(2), images, temperature=0.005) > softclip(torch.ones(2, 2), images, temperature=0.005)


def test_the_right_pairing_has_the_smallest_loss():
    _, images = similarity()
    assert hard_clip(images) < 1e-6
    assert hard_clip(images.roll(1, 0)) > 10


def test_unit_rows_are_float32():
    rows = unit_rows(torch.randn(2, 5, 5).bfloat16())
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(2))


def test_softclip_temperature_rises_and_a_single_epoch_takes_the_first():
    assert softclip_temperature(0, 1) == 0.004
    temperatures = [softclip_temperature(epoch, 5) for epoch in range(5)]
    assert temperatures == sorted(temperatures)
    assert temperatures[0] == pytest.approx(0.004)
    assert temperatures[-1] == pytest.approx(0.0075)


def test_a_student_like_its_teacher_loses_least():
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(3, 4, 8, generator=generator)
    augmented = teacher + 0.1 * torch.randn(3, 4, 8, generator=generator)
    strange = torch.randn(3, 4, 8, generator=generator)
    assert soft_contrastive(teacher, teacher, augmented) < soft_contrastive(strange, teacher, augmented)
