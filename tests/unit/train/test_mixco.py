import numpy as np
import torch

from mindeye2.train.mixco import Mix, draw_mix, join_mixes, mix_rows, mixing_epochs


def test_half_of_the_rows_are_mixed_with_weights_at_the_ends():
    mix = draw_mix(20000, generator=np.random.default_rng(0))
    assert sorted(mix.partner.tolist()) == list(range(20000))
    # Unmixed rows weigh 1; Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1)), and float32 rounds some of it to 1.
    variance = 1 / (4 * 1.3)
    assert abs(mix.weight.mean() - 0.75) < 0.01
    assert abs(mix.weight.square().mean() - (0.5 + (variance + 0.25) / 2)) < 0.01
    assert abs((mix.weight < 0.5).float().mean() - 0.25) < 0.01


def test_same_generator_same_draws():
    first, again, other = (draw_mix(16, generator=np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.weight, again.weight)
    assert torch.equal(first.partner, again.partner)
    assert not torch.equal(first.partner, other.partner)


def test_partners_come_from_the_unmixed_rows():
    rows = torch.tensor([[1.0], [10.0], [100.0]])
    mix = Mix(torch.tensor([1, 2, 0]), torch.tensor([0.5, 0.25, 1.0]))
    assert mix_rows(rows, mix).flatten().tolist() == [5.5, 77.5, 100.0]


def test_rows_of_any_shape_mix_with_the_rows_of_their_own_subject():
    generator = np.random.default_rng(0)
    joined = join_mixes([draw_mix(3, generator=generator), draw_mix(5, generator=generator)])
    assert set(joined.partner[:3].tolist()) == {0, 1, 2}
    assert set(joined.partner[3:].tolist()) == {3, 4, 5, 6, 7}
    images = torch.arange(8.0)[:, None, None, None].expand(8, 4, 2, 2)
    expected = joined.weight * torch.arange(8.0) + (1 - joined.weight) * joined.partner
    torch.testing.assert_close(mix_rows(images, joined)[:, 0, 0, 0], expected)


def test_mixing_epochs_of_short_runs():
    assert [mixing_epochs(epochs, 0.33) for epochs in (1, 3, 4)] == [0, 0, 1]
    assert mixing_epochs(2, 1.0) == 2
