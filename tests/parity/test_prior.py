"""The prior's network, schedule, loss, sampling and internals against the original's (gold b, c, d, l)."""

import pytest
import torch
from gold_models import TOLERANCES, arrays, assert_close, gold_model, numbers

from mindeye2.model.attention import relative_buckets, rotary_frequencies, rotary_table, rotate
from mindeye2.model.diffusion import cosine_schedule, sampling_times
from mindeye2.model.prior import rotary_dims, sinusoidal

SAMPLING = numbers("d_sampling")
BATCH = len(arrays("b_prior_network")["timesteps"])


@pytest.fixture(scope="module")
def prior():
    return gold_model("a1").prior


def keep(*, brain, image):
    return {"brain_keep": torch.full((BATCH,), brain), "image_keep": torch.full((BATCH,), image)}


@pytest.mark.parametrize(
    ("case", "masks"),
    [
        ("plain", {}),
        ("plain", keep(brain=True, image=True)),
        ("brain_dropped", keep(brain=False, image=True)),
        ("image_dropped", keep(brain=True, image=False)),
        ("both_dropped", keep(brain=False, image=False)),
        ("mixed_masks", None),
    ],
)
def test_network(prior, case, masks):
    gold = arrays("b_prior_network")
    if masks is None:
        masks = {"brain_keep": gold["brain_keep_mask"], "image_keep": gold["image_keep_mask"]}
    with torch.no_grad():
        estimate = prior(gold["noisy_image_tokens"], gold["timesteps"], gold["brain_tokens"], **masks)
    assert_close(estimate, gold[f"prediction_{case}"], "b_prior_network", f"prediction_{case}")


def test_guidance_from_its_two_passes(prior):
    gold = arrays("b_prior_network")
    inputs = (gold["noisy_image_tokens"], gold["timesteps"], gold["brain_tokens"])
    with torch.no_grad():
        null = prior(*inputs, **keep(brain=False, image=False))
        guided = null + 2.5 * (prior(*inputs) - null)
    assert_close(guided, gold["prediction_guidance_2p5"], "b_prior_network", "prediction_guidance_2p5")


def test_loss_and_its_gradient(prior):
    """The gradient alone sees that the stable norm's channel maximum is detached."""
    gold = arrays("c_prior_loss")
    brain = gold["brain_tokens"].clone().requires_grad_()
    noisy = prior.add_noise(gold["clip_target"], gold["timesteps"], gold["noise"])
    loss = prior.loss(brain, gold["clip_target"], timesteps=gold["timesteps"], noise=gold["noise"])
    loss.backward()
    assert_close(noisy, gold["noisy_image_tokens"], "c_prior_loss", "noisy_image_tokens")
    assert_close(prior(noisy, gold["timesteps"], brain), gold["prediction"], "c_prior_loss", "prediction")
    assert_close(loss, gold["loss"], "c_prior_loss", "loss")
    assert_close(brain.grad, gold["grad_brain_tokens"], "c_prior_loss", "grad_brain_tokens")


def test_schedule():
    gold = arrays("c_schedule")
    tables = cosine_schedule(len(gold["betas"]))
    assert tables.keys() == gold.keys() - {"p2_loss_weight"}
    for name, table in tables.items():
        tolerance = TOLERANCES["c_schedule"][name]
        torch.testing.assert_close(
            table, gold[name], rtol=tolerance["suggested_rtol"], atol=tolerance["suggested_atol"], msg=name
        )


@pytest.mark.parametrize("steps", [20, 100])
def test_sampling(prior, steps):
    gold, drawn = arrays(f"d_sampling_{steps}"), []

    def noise(shape, step):
        drawn.append(step)
        assert shape == gold["brain_tokens"].shape
        return gold["noise"][step]

    result = prior.sample(gold["brain_tokens"], steps=steps, noise=noise)
    assert drawn == list(range(SAMPLING[str(steps)]["noise_draws"]))
    assert_close(result, gold["result"], f"d_sampling_{steps}", "result")


@pytest.mark.parametrize("steps", ["20", "100", *SAMPLING["other_step_counts"]])
def test_visited_times_and_draws(prior, steps, monkeypatch):
    gold = SAMPLING.get(steps) or SAMPLING["other_step_counts"][steps]
    assert sampling_times(prior.timesteps, int(steps)) == gold["visited_timesteps"]

    drawn, visited = [], []

    def estimate(x, time, brain):
        visited.append(time)
        return x

    def noise(shape, step):
        drawn.append(step)
        return torch.ones(shape)

    monkeypatch.setattr(prior, "_estimate", estimate)
    brain = torch.zeros(1, *arrays("d_sampling_20")["brain_tokens"].shape[1:])
    result = prior.sample(brain, steps=int(steps), noise=noise)
    assert visited == gold["visited_timesteps"]
    assert drawn == list(range(gold["noise_draws"]))
    assert result.isfinite().all()


def test_positions(prior):
    gold, bias = arrays("l_internals"), prior.network.relative_bias
    length, dims = gold["rotary_in"].shape[2], rotary_dims(gold["rotary_in"].shape[3])
    distances = torch.arange(len(gold["bucket_by_distance_0_600"]))
    assert torch.equal(bias.buckets, gold[f"bucket_matrix_{length}x{length + 1}"])
    assert torch.equal(relative_buckets(distances), gold["bucket_by_distance_0_600"])
    assert torch.equal(bias().transpose(0, 1), gold[f"bias_{length}"])
    assert_close(rotary_frequencies(dims), gold["rotary_freqs"], "l_internals", "rotary_freqs")
    turned = rotate(gold["rotary_in"].transpose(1, 2), rotary_table(length, dims)).transpose(1, 2)
    assert_close(turned, gold["rotary_out"], "l_internals", "rotary_out")


def test_time(prior):
    gold = arrays("l_internals")
    times = gold["sinusoidal_times"].long()
    for name in ("sinusoidal", "sinusoidal_1664"):
        assert_close(sinusoidal(times, gold[name].shape[1]), gold[name], "l_internals", name)
    assert_close(prior.network.time(times), gold["time_token"], "l_internals", "time_token")


def test_blocks(prior):
    gold, network = arrays("l_internals"), prior.network
    x, layer = gold["block_in"], network.layers[0]
    with torch.no_grad():
        attended = layer.attention(x, rotary=network.rotary, bias=network.relative_bias(), queries=x.shape[1])
        assert_close(attended, gold["attention_out"], "l_internals", "attention_out")
        assert_close(layer.feed_forward(x), gold["feed_forward_out"], "l_internals", "feed_forward_out")
        assert_close(network.norm(gold["final_norm_in"]), gold["final_norm_out"], "l_internals", "final_norm_out")
