import pytest
import torch
from tiny_decoder import normal, tiny

from mindeye2.errors import UserError
from mindeye2.model.diffusion import PriorDraws, cosine_schedule, sampling_times

SHAPE = (4, 6, 24)


@pytest.fixture(scope="module")
def prior():
    return tiny().prior


def draws(seed=0, drop_brain=0.2, drop_image=0.2, shape=SHAPE):
    generator = torch.Generator().manual_seed(seed)
    return PriorDraws.draw(shape, timesteps=12, drop_brain=drop_brain, drop_image=drop_image, generator=generator)


def test_schedule_of_the_paper():
    cumulative = cosine_schedule(100)["alphas_cumprod"]
    for time, value in ((0, 0.999369), (50, 0.478265), (94, 0.006060), (99, 2.43e-7)):
        assert cumulative[time].item() == pytest.approx(value, rel=2e-3 if time == 99 else 1e-4)


def test_draws_have_the_shares_asked_for():
    many = draws(drop_brain=0.2, drop_image=0.7, shape=(20000, 1, 1))
    assert many.brain_keep.float().mean().item() == pytest.approx(0.8, abs=0.015)
    assert many.image_keep.float().mean().item() == pytest.approx(0.3, abs=0.015)
    both = (many.brain_keep & many.image_keep).float().mean().item()
    assert both == pytest.approx(0.24, abs=0.015)
    assert many.timesteps.unique().tolist() == list(range(12))
    assert many.noise.std().item() == pytest.approx(1, abs=0.02)


def test_draws_repeat_with_the_seed_alone():
    one, same, other = draws(1), draws(1), draws(2)
    assert all(torch.equal(getattr(one, name), getattr(same, name)) for name in vars(one))
    assert not torch.equal(one.noise, other.noise)


def test_loss_is_pure_and_drops_by_mask_only(prior):
    brain, clean, injected = normal(*SHAPE), normal(*SHAPE, seed=1), draws()
    before = torch.get_rng_state()
    first = prior.train().loss(brain, clean, timesteps=injected.timesteps, noise=injected.noise)
    again = prior.eval().loss(brain, clean, timesteps=injected.timesteps, noise=injected.noise)
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)

    noisy = prior.add_noise(clean, injected.timesteps, injected.noise)
    expected = (prior(noisy, injected.timesteps, brain) - clean).square().mean()
    torch.testing.assert_close(first, expected)

    gone = torch.zeros(4, dtype=torch.bool)
    dropped = prior.loss(brain, clean, timesteps=injected.timesteps, noise=injected.noise, brain_keep=gone)
    elsewhere = prior.loss(-brain, clean, timesteps=injected.timesteps, noise=injected.noise, brain_keep=gone)
    assert torch.equal(dropped, elsewhere)
    assert not torch.equal(dropped, first)


def test_noise_levels_run_from_clean_to_noise(prior):
    clean, noise = normal(*SHAPE), normal(*SHAPE, seed=1)
    start = prior.add_noise(clean, torch.zeros(4, dtype=torch.int64), noise)
    end = prior.add_noise(clean, torch.full((4,), 11), noise)
    assert (start - clean).abs().mean() < 0.2
    torch.testing.assert_close(end, noise, atol=0.05, rtol=0)


@pytest.mark.parametrize("steps", [4, 12])
def test_samples_depend_on_their_generator_alone(prior, steps):
    brain = normal(*SHAPE)

    def sample(rows):
        generators = [torch.Generator().manual_seed(100 + row) for row in rows]
        return prior.sample(brain[rows], steps=steps, generators=generators)

    together = sample([0, 1, 2, 3])
    torch.testing.assert_close(sample([3, 1])[0], together[3], atol=1e-3, rtol=0)
    torch.testing.assert_close(sample([2])[0], together[2], atol=1e-3, rtol=0)
    assert torch.equal(sample([0, 1, 2, 3]), together)
    assert not torch.allclose(
        prior.sample(brain[:1], steps=steps, generators=[torch.Generator()])[0], together[0], atol=0.1
    )


def test_ancestral_loop_adds_nothing_at_time_0(prior):
    def sample(last):
        def noise(shape, step):
            return torch.full(shape, last) if step == 12 else normal(*shape, seed=step)

        return prior.sample(normal(*SHAPE), steps=12, noise=noise)

    assert torch.equal(sample(0.0), sample(1e12))


def test_sampling_leaves_the_global_generator_alone(prior):
    before = torch.get_rng_state()
    prior.sample(normal(*SHAPE), steps=4, generators=[torch.Generator() for _ in range(4)])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("given", [{}, {"noise": lambda shape, step: torch.zeros(shape), "generators": []}])
def test_sampling_wants_exactly_one_source_of_noise(prior, given):
    with pytest.raises(TypeError, match="either generators="):
        prior.sample(normal(*SHAPE), **given)


def test_sampling_wants_a_generator_per_sample(prior):
    with pytest.raises(UserError, match=r"generators: 3 for a batch of 4"):
        prior.sample(normal(*SHAPE), steps=4, generators=[torch.Generator() for _ in range(3)])


@pytest.mark.parametrize("steps", [0, 1, 13])
def test_impossible_numbers_of_steps(steps):
    with pytest.raises(UserError, match=rf"steps={steps}: .* give 2 to 12"):
        sampling_times(12, steps)


def test_recomputed_layers_give_the_same_gradients_for_less_memory():
    """No draw is made inside the prior, so that computing a layer again is computing it the same."""
    given, found, kept = draws(), [], []
    for recompute in (False, True):
        prior, sizes = tiny().prior, {}
        prior.network.recompute = recompute

        def keep(tensor, sizes=sizes):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = prior.loss(normal(*SHAPE), normal(*SHAPE, seed=1), **vars(given))
        loss.backward()
        found.append([each.grad for each in prior.parameters() if each.grad is not None])
        kept.append(sum(sizes.values()))
    assert len(found[0]) == len(found[1]) and all(map(torch.equal, *found))
    assert kept[1] < kept[0] / 2
