import numpy as np
import pytest

from mindeye2.demo.anatomy import AREAS, LABELS, make_anatomy
from mindeye2.demo.design import make_design
from mindeye2.demo.noise import draw_session
from mindeye2.demo.voxels import Brain, describe, make_brain
from mindeye2.demo.world import BACKGROUNDS, COLOURS, KINDS, MAIN_PLACES, SIZES, render
from mindeye2.seeds import numpy_generator

TRIALS = 96
SESSIONS = {1: 8, 2: 8}


@pytest.fixture(scope="module")
def design():
    return make_design(seed=0, sessions=SESSIONS, trials_per_session=TRIALS, shared_images=64)


@pytest.fixture(scope="module")
def brains(design) -> dict[int, Brain]:
    description = describe(design.scenes, seed=0)
    return {
        subject: make_brain(
            subject,
            make_anatomy(subject, voxels=voxels, seed=0),
            description,
            design.subject_images[subject - 1] - 1,
            median_ncsnr=0.6,
            seed=0,
        )
        for subject, voxels in ((1, 420), (2, 360))
    }


def _inside(brain: Brain) -> np.ndarray:
    return brain.anatomy.nsdgeneral[brain.anatomy.brain] == 1


@pytest.mark.parametrize("voxels", [20, 60, 420, 2000])
def test_anatomy_has_exactly_the_voxels_asked_for(voxels):
    head = make_anatomy(1, voxels=voxels, seed=0)
    assert (head.nsdgeneral == 1).sum() == voxels
    assert set(np.unique(head.nsdgeneral)) == {-1, 0, 1}
    assert head.brain.sum() < head.brain.size
    assert (head.nsdgeneral[~head.brain] == -1).all()
    assert set(np.unique(head.visual)) == {-1, 0, *LABELS.values()}
    np.testing.assert_array_equal(head.visual == -1, head.nsdgeneral == -1)
    assert ((head.visual > 0) & (head.nsdgeneral == 0)).any(), "visual areas reach beyond nsdgeneral"
    assert set(np.unique(head.area[head.nsdgeneral == 1])) == set(AREAS)


def test_ncsnr_is_signal_over_noise(brains, design):
    for subject, brain in brains.items():
        own = brain.signal[design.subject_images[subject - 1] - 1]
        np.testing.assert_allclose(own.std(axis=0), brain.ncsnr * brain.noise_sd, rtol=1e-6, atol=1e-9)
        assert np.median(brain.ncsnr[_inside(brain)]) == pytest.approx(0.6)
        assert (brain.ncsnr[brain.anatomy.area[brain.anatomy.brain] == ""] == 0).all()


def test_early_areas_follow_pixels_and_higher_ones_meaning(brains, design):
    """Share of each voxel's variance that lies between the groups of a label."""
    brain = brains[1]
    area = brain.anatomy.area[brain.anatomy.brain]
    kinds = np.array([KINDS.index(scene.main_kind) for scene in design.scenes])
    grounds = np.array([BACKGROUNDS.index(scene.background) for scene in design.scenes])

    def explained(labels: np.ndarray, voxels: np.ndarray) -> float:
        signal = brain.signal[:, voxels]
        means = np.stack([signal[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
        return float((means[labels].var(axis=0) / signal.var(axis=0)).mean())

    assert explained(kinds, area == "higher") > 1.5 * explained(kinds, area == "V1")
    assert explained(grounds, area == "V1") > 1.5 * explained(grounds, area == "higher")


def test_another_subject_predicts_a_subject_through_the_shared_structure(brains):
    one, other = (brain.signal[:, _inside(brain)] for brain in brains.values())
    one, other = ((signal - signal.mean(axis=0)) / signal.std(axis=0) for signal in (one, other))
    train, test = np.arange(0, 300), np.arange(300, len(one))

    def r2(seen: np.ndarray) -> float:
        predicted = _ridge(seen[train], other[train], seen[test])
        return float(1 - ((predicted - other[test]) ** 2).mean() / other[test].var())

    assert r2(one) > 0.6
    assert r2(np.random.default_rng(0).permutation(one)) < 0.05


def test_noise_has_the_stated_size_and_is_correlated(brains, design):
    brain, own = brains[1], design.subject_images[0] - 1
    sessions = [draw_session(brain, own, trials=TRIALS, generator=numpy_generator(0, "s", s)) for s in range(20)]
    outliers = np.concatenate([session.outliers for session in sessions])
    noise = np.concatenate([session.noise for session in sessions]) / brain.noise_sd
    assert 0 < outliers.mean() < 0.02
    assert noise[outliers].std() > 3
    calm = noise[~outliers]
    np.testing.assert_allclose(calm.std(axis=0), 1.0, atol=0.15)
    assert abs(calm.std(axis=0).mean() - 1.0) < 0.02
    assert np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1] > 0.02, "neighbouring trials share noise"
    gains = np.stack([session.gain for session in sessions])
    assert 0.05 < gains.std() < 0.3 and np.stack([session.offset for session in sessions]).std() > 0.3


def test_one_session_is_far_from_ceiling_and_all_sessions_are_much_better(brains, design):
    """Top-1 of the 64 shared images, repeats averaged, ridge from voxels to pixels and attributes (chance 1.6 %)."""
    brain, own = brains[2], design.subject_images[1] - 1
    image, shared = design.shown(2), design.is_shared()[design.shown(2)]
    betas = []
    for session in range(SESSIONS[2]):
        rows = slice(session * TRIALS, (session + 1) * TRIALS)
        drawn = draw_session(brain, own, trials=TRIALS, generator=numpy_generator(0, "d", session))
        trials = (drawn.gain * (brain.signal[image[rows]] + drawn.noise) + drawn.offset)[:, _inside(brain)]
        train = trials[~shared[rows]]
        betas.append((trials - train.mean(axis=0)) / train.std(axis=0))
    betas = np.concatenate(betas)
    targets = _targets(design.scenes)
    tested = np.unique(image[shared])
    averaged = np.stack([betas[image == index].mean(axis=0) for index in tested])

    def top1(sessions: int) -> float:
        train = np.flatnonzero(~shared[: sessions * TRIALS])
        mean = targets[image[train]].mean(axis=0)
        predicted = _ridge(betas[train], targets[image[train]] - mean, averaged)
        true = targets[tested] - targets.mean(axis=0)
        similar = (predicted / np.linalg.norm(predicted, axis=1, keepdims=True)) @ (
            true / np.linalg.norm(true, axis=1, keepdims=True)
        ).T
        return float((similar.argmax(axis=1) == np.arange(len(tested))).mean())

    one, every = top1(1), top1(8)
    assert len(tested) == 64
    assert 0.06 < one < 0.6
    assert max(0.6, one + 0.15) < every < 0.97


def _ridge(seen: np.ndarray, wanted: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Ridge regression, its penalty by generalised cross-validation."""
    left, values, right = np.linalg.svd(seen, full_matrices=False)
    trials = []
    for penalty in np.logspace(0, 6, 25):
        shrunk = values**2 / (values**2 + penalty)
        free = 1 - shrunk.sum() / len(seen)
        if free > 0.02:
            error = ((wanted - (left * shrunk) @ (left.T @ wanted)) ** 2).mean() / free**2
            trials.append((error, penalty))
    return new @ (right.T * (values / (values**2 + min(trials)[1]))) @ (left.T @ wanted)


def _targets(scenes) -> np.ndarray:
    """Pixels at 16 px (60 components) and attributes, each block of unit length on average."""
    pixels = np.stack([render(scene, 16).ravel() for scene in scenes]) / 255.0
    left, values, _ = np.linalg.svd(pixels - pixels.mean(axis=0), full_matrices=False)
    rows = []
    for scene in scenes:
        main = scene.main
        pairs = (
            (main.kind, KINDS),
            (main.colour, COLOURS),
            (main.size, SIZES),
            (main.place, MAIN_PLACES),
            (scene.background, BACKGROUNDS),
        )
        rows.append([chosen == option for chosen, options in pairs for option in options])
    attributes = np.array(rows, dtype=float)
    attributes -= attributes.mean(axis=0)
    attributes /= np.where(attributes.std(axis=0) > 0, attributes.std(axis=0), 1.0)
    blocks = (left[:, :60] * values[:60], attributes)
    return np.concatenate([block / np.sqrt((block**2).sum(axis=1).mean()) for block in blocks], axis=1)
