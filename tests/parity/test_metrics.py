"""Metrics against numbers of the original evaluation (gold set g)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mindeye2.generate.refine import blend
from mindeye2.metrics.brain import brain_correlation
from mindeye2.metrics.identification import correlation_distance, two_way_identification
from mindeye2.metrics.intervals import normal_interval
from mindeye2.metrics.pixel import pixel_correlation, ssim
from mindeye2.metrics.resizing import resize
from mindeye2.metrics.similarity import cosine_similarity, pearson_matrix
from mindeye2.metrics.top1 import retrieval

GOLD = Path(__file__).parents[1] / "gold/mindeye2"
EXPECTED = json.loads((GOLD / "g_metrics.json").read_text())


@pytest.fixture(scope="module")
def arrays():
    with np.load(GOLD / "g_metrics.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.fixture(scope="module")
def images():
    with np.load(GOLD / "g_images.npz") as file:
        return {
            name: torch.from_numpy(file[name]).float() / 255 if file[name].dtype == np.uint8 else file[name]
            for name in file.files
        }


def test_two_way_identification_counts_are_exact(arrays):
    truth, recon = arrays["two_way_truth_features"], arrays["two_way_recon_features"]
    expected = EXPECTED["two_way"]
    scores = two_way_identification(truth, recon, per_image=True)
    assert (scores * expected["denominator"]).round().int().tolist() == expected["success_count_per_recon"]
    assert two_way_identification(truth, recon) == pytest.approx(expected["score"], abs=1e-9)
    transposed = expected["paper_definition_transposed_score_not_original"]
    assert two_way_identification(recon, truth) == pytest.approx(transposed, abs=1e-9)


def test_two_way_identification_loses_every_comparison_with_a_constant(arrays):
    truth, recon = arrays["two_way_constant_truth"], arrays["two_way_constant_recon"]
    expected = EXPECTED["two_way_constant_features"]
    scores = two_way_identification(truth, recon, per_image=True)
    assert (scores * expected["denominator"]).round().int().tolist() == expected["success_count_per_recon"]
    assert two_way_identification(truth, recon) == pytest.approx(expected["score"], abs=1e-9)


def test_correlation_distance(arrays):
    truth, recon = arrays["two_way_truth_features"], arrays["two_way_recon_features"]
    expected = EXPECTED["correlation_distance"]
    assert correlation_distance(truth, recon) == pytest.approx(expected["mean"], abs=1e-6)
    assert correlation_distance(truth, recon, per_image=True).tolist() == pytest.approx(expected["per_pair"], abs=1e-6)


def test_similarity_matrices(arrays):
    left, right = arrays["pearson_left"], arrays["pearson_right"]
    torch.testing.assert_close(pearson_matrix(left, right), arrays["pearson"], atol=1.3e-6, rtol=0)
    torch.testing.assert_close(cosine_similarity(left, right).T, arrays["cosine_transposed"], atol=1.2e-6, rtol=0)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("route", ["direct_to_425", "via_256_no_blend", "via_256_blend_075_025"])
@pytest.mark.parametrize("size", ["small", "large"])
def test_pixel_metrics(images, size, route, antialias):
    truth, recon, lowlevel = (images[f"{size}_{name}"] for name in ("truth", "recon", "lowlevel"))
    if route != "direct_to_425":
        truth, recon, lowlevel = (resize(side, 256, antialias=antialias) for side in (truth, recon, lowlevel))
    if "blend" in route and "no" not in route:
        recon = blend(recon, lowlevel, 0.25)
    expected = EXPECTED[f"{size}_images"][f"antialias_{str(antialias).lower()}"][route]
    for name, metric in (("pixcorr", pixel_correlation), ("ssim", ssim)):
        assert metric(truth, recon, antialias=antialias) == pytest.approx(expected[name], abs=1e-5)
        each = metric(truth, recon, antialias=antialias, per_image=True)
        assert each.tolist() == pytest.approx(expected[f"{name}_per_image"], abs=1e-5)


@pytest.mark.parametrize("antialias", [False, True])
def test_resize_to_256(images, antialias):
    resized = resize(images["large_truth"][:1], 256, antialias=antialias)[0, 0, ::4, ::4]
    name = f"large_truth_0_resized_256_antialias_{str(antialias).lower()}_channel0"
    np.testing.assert_allclose(resized.numpy(), images[name], atol=2e-6, rtol=0)


def test_retrieval_in_both_directions_with_the_original_draws(arrays):
    expected = EXPECTED["retrieval"]
    found = retrieval(
        arrays["retrieval_brain_tokens"], arrays["retrieval_image_tokens"], draws=arrays["retrieval_draws"]
    )
    for direction, theirs in (("brain_to_image", "bwd"), ("image_to_brain", "fwd")):
        assert getattr(found, direction) == pytest.approx(expected[f"{direction}_mean"], abs=1e-9)
        each = getattr(found, f"{direction}_hits").double().mean(dim=1)
        assert each.tolist() == pytest.approx(expected[f"original_{theirs}_per_repetition"], abs=1e-6)
        assert normal_interval(each) == pytest.approx(expected[f"original_{theirs}_ci"], abs=1e-6)


def test_brain_correlation(arrays):
    measured, predicted = arrays["brain_measured"], arrays["brain_predicted"]
    for region, value in EXPECTED["brain_correlation"]["values"].items():
        found = brain_correlation(measured, predicted, arrays[f"brain_mask_{region}"])
        assert found == pytest.approx(value, abs=2e-5)
