"""Metrics on small cases whose answer is known."""

import subprocess
import sys
from types import FunctionType

import numpy as np
import pytest
import torch
from skimage.color import rgb2gray
from skimage.metrics import structural_similarity

import mindeye2.metrics
from mindeye2.metrics.baselines import linear_svm
from mindeye2.metrics.brain import mean_per_group
from mindeye2.metrics.caption import rouge_1, rouge_l
from mindeye2.metrics.identification import (
    class_identification,
    correlation_distance,
    two_way_identification,
)
from mindeye2.metrics.pictures import low_level
from mindeye2.metrics.pixel import pixel_correlation, ssim
from mindeye2.metrics.resizing import resize
from mindeye2.metrics.similarity import pearson_matrix, pearson_rows
from mindeye2.metrics.top1 import retrieval


def rand(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_pictures_equal_to_the_truth_score_one():
    pictures = rand(3, 3, 20, 20)
    assert pixel_correlation(pictures, pictures, px=40) == pytest.approx(1)
    assert ssim(pictures, pictures, px=40) == pytest.approx(1)
    assert pixel_correlation(pictures, 1 - pictures, px=40) == pytest.approx(-1)


def test_pixel_metrics_take_arrays_and_half_precision():
    truth, made = rand(2, 3, 20, 20), rand(2, 3, 20, 20, seed=1)
    for metric in (pixel_correlation, ssim):
        half = metric(truth.half().numpy(), made.half().numpy(), px=30)
        assert half == pytest.approx(metric(truth, made, px=30), abs=1e-3)


def test_a_constant_up_to_its_rounding_has_no_correlation():
    """As a picture of one colour is after resizing."""
    row = torch.full((1, 500), 0.3)
    row[0, ::2] = torch.nextafter(row[0, 0], torch.tensor(1.0))
    other = torch.rand(1, 500, generator=torch.Generator().manual_seed(0))
    assert pearson_rows(row, other).isnan().all() and pearson_matrix(other, row).isnan().all()
    assert pearson_rows(row.double(), other.double()).isfinite().all()


def test_a_constant_picture_has_no_correlation():
    truth, made = rand(4, 3, 20, 20), rand(4, 3, 20, 20, seed=1)
    made[1], made[2] = 0.0, 0.3
    made[3] = 0.3 + 1e-5 * made[3]
    values = pixel_correlation(truth, made, px=20, per_image=True)
    assert values.isnan().tolist() == [False, True, True, False]
    assert correlation_distance(truth.flatten(1), made.flatten(1), per_image=True).isnan().tolist()[:3] == [0, 1, 1]


@pytest.mark.parametrize("antialias", [False, True])
def test_low_level_scores_are_those_of_the_single_metrics(antialias):
    truth, made = rand(5, 3, 40, 40), rand(5, 3, 40, 40, seed=1)
    how = {"px": 30, "antialias": antialias}
    values = low_level(truth, {"refined": made}, **how)
    for metric, compute in (("pixel_correlation", pixel_correlation), ("ssim", ssim)):
        assert torch.equal(values[metric]["refined"], compute(truth, made, **how, per_image=True))
        assert not torch.equal(
            values[metric]["refined"], compute(truth, made, px=30, antialias=not antialias, per_image=True)
        )


def test_ssim_is_that_of_the_luminance():
    truth, made = rand(20, 3, 24, 24), rand(20, 3, 24, 24, seed=1)
    expected = [
        structural_similarity(
            *(rgb2gray(side.permute(1, 2, 0).double().numpy()) for side in pair),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
        )
        for pair in zip(truth, made, strict=True)
    ]
    assert ssim(truth, made, px=24, per_image=True).tolist() == pytest.approx(expected, abs=1e-5)


def test_resize_takes_the_shorter_side():
    assert resize(rand(1, 3, 10, 20), 15).shape == (1, 3, 15, 30)
    assert torch.equal(resize(rand(1, 3, 10, 10), 10), rand(1, 3, 10, 10))
    checkers = torch.zeros(1, 3, 8, 8)
    checkers[..., ::2] = 1
    assert resize(checkers, 2, antialias=True).std() < 0.05


def test_two_way_identification_compares_with_other_truths():
    truth = torch.eye(4) + 0.01 * rand(4, 4)
    assert two_way_identification(truth, truth) == 1.0
    assert two_way_identification(truth, truth.flip(0)) < 0.5
    # Recon 0 looks like truth 1, recon 1 too: one of two is right in one direction, both directions differ.
    recon = truth[[1, 1, 2, 3]]
    assert two_way_identification(truth, recon, per_image=True).tolist() != [1.0] * 4


def test_two_way_identification_of_noise_is_at_chance():
    score = two_way_identification(rand(200, 50), rand(200, 50, seed=1))
    assert score == pytest.approx(0.5, abs=0.05)


def test_a_nan_feature_fails_its_comparisons():
    truth, recon = rand(5, 8), rand(5, 8)
    recon[2] = float("nan")
    values = two_way_identification(truth, recon, per_image=True)
    assert values[2] == 0.0 and (values[[0, 1, 3, 4]] == 1.0).all()
    assert correlation_distance(truth, recon, per_image=True).isnan().tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_equal_truth_wins_against_nobody(dtype):
    """Rows that are equal have correlations that differ by rounding: which of them is less is no information."""
    truth = rand(3, 33).to(dtype)[torch.arange(9) % 3]
    values = two_way_identification(truth, truth + 0.01 * rand(9, 33, seed=1), per_image=True)
    assert (values * 8).round().tolist() == [6.0] * 9


def test_correlations_of_large_maps_are_exact_to_float32():
    """A long row with a large mean loses four digits where its products are summed in float32."""
    truth, recon = 3 + rand(3, 40_000), 3 + rand(3, 40_000, seed=1)
    expected = np.corrcoef(truth.double(), recon.double())[:3, 3:]
    np.testing.assert_allclose(pearson_matrix(truth, recon), expected, atol=1e-7, rtol=0)
    np.testing.assert_allclose(
        correlation_distance(truth, recon, per_image=True), 1 - expected.diagonal(), atol=1e-12, rtol=0
    )


def test_classes():
    label = torch.tensor([0, 1, 2, 0, 1, 2])
    centres = torch.eye(3, 7)
    rows = centres[label] + 0.1 * rand(6, 7)
    assert class_identification(rows, centres, label).all()
    assert class_identification(rows, centres, (label + 1) % 3).sum() == 0


def test_a_picture_is_no_rival_of_itself():
    truth = rand(3, 8)[[0, 1, 2, 0]]
    recon = truth + 0.01 * rand(4, 8, seed=1)
    assert two_way_identification(truth, recon, per_image=True).min() < 1.0
    assert two_way_identification(truth, recon, image=torch.tensor([0, 1, 2, 0])) == 1.0


def test_retrieval_names_its_directions():
    # Every brain embedding is nearest to image 0, but image 1's nearest brain embedding is its own.
    image = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    brain = torch.tensor([[1.0, 0.0], [0.95, 0.3]])
    found = retrieval(brain, image, pool=2, repetitions=1, draws=np.array([[0, 1]]))
    assert found.brain_to_image == 0.5 and found.image_to_brain == 1.0
    assert found.brain_to_image_hits.tolist() == [[True, False]]


def test_retrieval_of_the_whole_test_set_needs_one_draw():
    brain, image = rand(20, 3, 5), rand(20, 3, 5, seed=1)
    generator = np.random.default_rng(0)
    found = retrieval(brain, image, pool=300, repetitions=30, generator=generator)
    assert found.brain_to_image_hits.shape == (1, 20)
    assert found.brain_to_image == retrieval(brain, image, pool=20, repetitions=30, generator=generator).brain_to_image


def test_retrieval_draws_without_replacement_and_by_its_generator_only():
    brain, image = rand(50, 8), rand(50, 8, seed=1)
    arrays = brain.half().numpy(), image.half().numpy()
    runs = [retrieval(*arrays, pool=10, repetitions=40, generator=np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert torch.equal(runs[0].brain_to_image_hits, runs[1].brain_to_image_hits)
    assert not torch.equal(runs[0].brain_to_image_hits, runs[2].brain_to_image_hits)
    assert retrieval(image, image, pool=10, repetitions=40, generator=np.random.default_rng(0)).brain_to_image == 1.0


@pytest.mark.parametrize(
    ("predicted", "truth", "one", "longest"),
    [
        ("a red cat", "a red cat", 1.0, 1.0),
        ("a red cat", "cat red a", 1.0, 1 / 3),
        ("A Red-cat!", "a red cat", 1.0, 1.0),
        ("a a a", "a dog", 2 / 5, 2 / 5),
        ("", "a dog", 0.0, 0.0),
        ("blue house", "red cat", 0.0, 0.0),
    ],
)
def test_rouge(predicted, truth, one, longest):
    assert rouge_1(predicted, truth) == pytest.approx(one)
    assert rouge_l(predicted, truth) == pytest.approx(longest)


def test_repeats_weigh_the_same_unless_legacy():
    rows, group = np.array([[0.0], [10.0], [1.0], [2.0], [3.0], [9.0]], np.float32), np.array([7, 3, 7, 7, 5, 5])
    assert mean_per_group(rows, group).flatten().tolist() == [10.0, 6.0, 1.0]
    assert mean_per_group(rows, group, legacy=True).flatten().tolist() == [10.0, 5.0, 1.0]


def test_svm_learns_from_the_other_sessions_only():
    rng = np.random.default_rng(0)
    label, session = np.tile(np.arange(4), 6), np.repeat(np.arange(6), 4)
    features = 3 * np.eye(4, 10)[label] + 0.1 * rng.standard_normal((24, 10))
    assert linear_svm(features, label, session).all()
    # A code that tells the label within one session, and another label in every other, cannot be learned.
    tricked = 3 * np.eye(4, 10)[(label + session) % 4]
    assert linear_svm(tricked, label, session).mean() < 0.5


def test_the_facade_is_lazy_and_complete():
    for name in mindeye2.metrics.__all__:
        assert isinstance(getattr(mindeye2.metrics, name), FunctionType)
    with pytest.raises(AttributeError, match="no attribute 'speed'"):
        mindeye2.metrics.speed  # noqa: B018
    code = "import sys, mindeye2.metrics as m; m.rouge_1; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
