"""Metrics against numbers of the original evaluation (gold set g)."""

import numpy as np
import pytest
import torch
from gold_models import TOLERANCES, arrays, assert_close, atol, numbers

from mindeye2.generate.refine import blend
from mindeye2.metrics.brain import brain_correlation
from mindeye2.metrics.identification import correlation_distance, two_way_identification
from mindeye2.metrics.intervals import normal_interval
from mindeye2.metrics.pixel import pixel_correlation, ssim
from mindeye2.metrics.resizing import resize
from mindeye2.metrics.similarity import cosine_similarity, pearson_matrix
from mindeye2.metrics.top1 import retrieval

EXPECTED = numbers("g_metrics")
GOLD = arrays("g_metrics")
ATOL = {name: each["suggested_atol"] for name, each in TOLERANCES["g_json"].items()}


@pytest.fixture(scope="module")
def images():
    return {
        name: value.float() / 255 if value.dtype == torch.uint8 else value for name, value in arrays("g_images").items()
    }


def test_two_way_identification_counts_are_exact():
    truth, recon = GOLD["two_way_truth_features"], GOLD["two_way_recon_features"]
    expected = EXPECTED["two_way"]
    scores = two_way_identification(truth, recon, per_image=True)
    assert (scores * expected["denominator"]).round().int().tolist() == expected["success_count_per_recon"]
    assert two_way_identification(truth, recon) == pytest.approx(expected["score"], abs=ATOL["two_way"])
    transposed = expected["paper_definition_transposed_score_not_original"]
    assert two_way_identification(recon, truth) == pytest.approx(transposed, abs=ATOL["two_way"])


def test_two_way_identification_loses_every_comparison_with_a_constant():
    truth, recon = GOLD["two_way_constant_truth"], GOLD["two_way_constant_recon"]
    expected = EXPECTED["two_way_constant_features"]
    scores = two_way_identification(truth, recon, per_image=True)
    assert (scores * expected["denominator"]).round().int().tolist() == expected["success_count_per_recon"]
    assert two_way_identification(truth, recon) == pytest.approx(expected["score"], abs=ATOL["two_way"])


def test_correlation_distance():
    truth, recon = GOLD["two_way_truth_features"], GOLD["two_way_recon_features"]
    expected = EXPECTED["correlation_distance"]
    assert correlation_distance(truth, recon) == pytest.approx(expected["mean"], abs=ATOL["correlation_distance"])
    each = correlation_distance(truth, recon, per_image=True)
    assert each.tolist() == pytest.approx(expected["per_pair"], abs=ATOL["correlation_distance"])


def test_similarity_matrices():
    left, right = GOLD["pearson_left"], GOLD["pearson_right"]
    assert_close(pearson_matrix(left, right), GOLD["pearson"], "g_metrics", "pearson")
    assert_close(
        cosine_similarity(left, right).T.contiguous(), GOLD["cosine_transposed"], "g_metrics", "cosine_transposed"
    )


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
        assert metric(truth, recon, antialias=antialias) == pytest.approx(expected[name], abs=ATOL[name])
        each = metric(truth, recon, antialias=antialias, per_image=True)
        assert each.tolist() == pytest.approx(expected[f"{name}_per_image"], abs=ATOL[name])


@pytest.mark.parametrize("antialias", [False, True])
def test_resize_to_256(images, antialias):
    resized = resize(images["large_truth"][:1], 256, antialias=antialias)[0, 0, ::4, ::4]
    name = f"large_truth_0_resized_256_antialias_{str(antialias).lower()}_channel0"
    np.testing.assert_allclose(resized.numpy(), images[name].numpy(), atol=atol("g_images", name), rtol=0)


def test_retrieval_in_both_directions_with_the_original_draws():
    expected = EXPECTED["retrieval"]
    found = retrieval(GOLD["retrieval_brain_tokens"], GOLD["retrieval_image_tokens"], draws=GOLD["retrieval_draws"])
    for direction, theirs in (("brain_to_image", "bwd"), ("image_to_brain", "fwd")):
        assert getattr(found, direction) == pytest.approx(expected[f"{direction}_mean"], abs=ATOL["retrieval"])
        each = getattr(found, f"{direction}_hits").double().mean(dim=1)
        assert each.tolist() == pytest.approx(expected[f"original_{theirs}_per_repetition"], abs=ATOL["retrieval"])
        assert normal_interval(each) == pytest.approx(expected[f"original_{theirs}_ci"], abs=ATOL["retrieval"])


def test_brain_correlation():
    measured, predicted = GOLD["brain_measured"], GOLD["brain_predicted"]
    for region, value in EXPECTED["brain_correlation"]["values"].items():
        found = brain_correlation(measured, predicted, GOLD[f"brain_mask_{region}"])
        assert found == pytest.approx(value, abs=ATOL["brain_correlation"])
