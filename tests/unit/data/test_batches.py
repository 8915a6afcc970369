import h5py
import numpy as np
import pytest
import torch

from mindeye2.data.batches import Batches, SubjectTrials, Targets, epoch_order, load_subject, open_targets, read_rows
from mindeye2.errors import UserError


def make(image, *, subject=1, voxels=3):
    image = np.asarray(image, dtype=np.int64)
    # Every value names its trial, so that a batch tells where it came from.
    return SubjectTrials(subject, np.repeat(np.arange(len(image), dtype=np.float32)[:, None], voxels, 1), image)


def targets(images, *, lowlevel=False):
    names = np.arange(images, dtype=np.float16)
    tokens = np.broadcast_to(names[:, None, None], (images, 2, 4)).copy()
    if not lowlevel:
        return Targets(tokens)
    views = names[:, None] + np.array([0.25, 0.5], np.float16)
    return Targets(
        tokens,
        np.broadcast_to(names[:, None, None, None], (images, 4, 2, 2)).copy(),
        np.broadcast_to(names[:, None, None], (images, 1, 3)).copy(),
        np.broadcast_to(views[:, :, None, None], (images, 2, 1, 3)).copy(),
    )


def batches(subjects, count, **changes):
    return Batches(subjects, targets(count), **({"batch_size": 6, "seed": 0, "stage": "finetune"} | changes))


def test_an_epoch_is_a_pass_without_an_image_twice_in_a_batch():
    """60 images, three times each, 180 trials in 30 steps of 6."""
    image = np.repeat(np.arange(60), 3)
    order = epoch_order(image, batch=6, steps=30, generator=np.random.default_rng(0))
    assert order.shape == (30, 6)
    assert all(len(set(image[rows])) == 6 for rows in order)
    # A trial that waited at the very end may give way to one of a fresh permutation.
    assert len(set(order.flatten().tolist())) >= 178


def test_waiting_trials_come_in_the_next_batch_that_can_take_them():
    class Fixed(np.random.Generator):
        def permutation(self, count):
            return np.arange(count)

    order = epoch_order(np.array([7, 7, 7, 1, 2, 3]), batch=2, steps=3, generator=Fixed(np.random.PCG64()))
    assert order.tolist() == [[0, 3], [1, 4], [2, 5]]


def test_a_subject_with_few_trials_goes_on_with_a_fresh_permutation():
    order = epoch_order(np.arange(4), batch=2, steps=6, generator=np.random.default_rng(0))
    assert np.bincount(order.flatten()).tolist() == [3, 3, 3, 3]
    assert order[:2].tolist() != order[2:4].tolist() or order[2:4].tolist() != order[4:].tolist()


def test_as_many_rows_as_images_of_very_unequal_number():
    image = np.array([0] * 50 + [1] * 2 + [2])
    order = epoch_order(image, batch=3, steps=17, generator=np.random.default_rng(0))
    assert all(sorted(image[rows]) == [0, 1, 2] for rows in order)


def test_rows_belong_together():
    subjects = [make(np.arange(30) % 10, subject=2), make(10 + np.arange(24) % 8, subject=5, voxels=2)]
    made = Batches(subjects, targets(18, lowlevel=True), batch_size=6, seed=0, stage="pretrain")
    assert (made.per_subject, made.rows, made.steps) == (3, 6, 10)
    batch = made.load(0, 4)
    trials = [voxels[:, 0].long().numpy() for voxels in batch.voxels]
    image = np.concatenate([each.image[rows] for each, rows in zip(subjects, trials, strict=True)])
    assert [tuple(voxels.shape) for voxels in batch.voxels] == [(3, 3), (3, 2)]
    for values in (batch.tokens[:, 0, 0], batch.latents[:, 0, 0, 0], batch.features[:, 0, 0]):
        assert values.tolist() == image.tolist()
    view = (batch.augmented[:, 0, 0] - batch.features[:, 0, 0]).tolist()
    assert set(view) <= {0.25, 0.5}
    on_device = batch.to(torch.device("cpu"))
    assert on_device.tokens.dtype == on_device.voxels[0].dtype == on_device.augmented.dtype == torch.float32


def test_every_view_gets_its_turn():
    made = Batches([make(np.arange(40))], targets(40, lowlevel=True), batch_size=8, seed=0, stage="finetune")
    views = [step.augmented[:, 0, 0] - step.features[:, 0, 0] for step in (made.load(0, k) for k in range(5))]
    drawn = torch.cat(views).tolist()
    assert drawn.count(0.25) > 8
    assert drawn.count(0.5) > 8


def test_orders_differ_between_epochs_subjects_and_seeds_and_nothing_else():
    subjects = [make(np.arange(30), subject=1), make(30 + np.arange(30), subject=2)]
    made = batches(subjects, 60)
    first, second = made.order(0)
    assert first.tolist() != second.tolist()
    assert first.tolist() != made.order(1)[0].tolist()
    again = batches(subjects, 60)
    again.load(1, 3)
    assert again.order(0)[0].tolist() == first.tolist()
    assert batches(subjects, 60, seed=1).order(0)[0].tolist() != first.tolist()
    alone = batches(subjects[:1], 60, batch_size=3)
    assert alone.order(0)[0].tolist() == first.tolist()


def test_epoch_length_follows_the_largest_subject():
    made = batches([make(np.arange(30)), make(30 + np.arange(7), subject=2)], 37)
    assert made.steps == 10
    assert np.bincount(made.order(0)[1].flatten(), minlength=7).min() >= 4


def test_a_batch_is_never_larger_than_the_number_of_images(capsys):
    made = batches([make(np.arange(12) % 4)], 4, batch_size=24)
    assert (made.rows, made.steps) == (4, 3)
    assert "batches of 4 instead of 24 trials per subject" in capsys.readouterr().err
    assert sorted(made.load(0, 0).tokens[:, 0, 0].tolist()) == [0, 1, 2, 3]


def test_one_step_at_least():
    assert batches([make([0])], 1).steps == 1
    assert batches([make([0, 1, 2])], 3, batch_size=3).steps == 1


def test_processes_share_out_the_rows():
    subjects = [
        make(np.arange(20), subject=1),
        make(20 + np.arange(20), subject=2),
        make(40 + np.arange(20), subject=3),
    ]
    whole = batches(subjects, 60).load(0, 2)
    parts = [batches(subjects, 60, process=process, processes=3) for process in range(3)]
    loaded = [part.load(0, 2) for part in parts]
    assert torch.equal(torch.stack([batch.tokens for batch in loaded], 1).flatten(0, 1), whole.tokens)
    mine = [
        torch.cat([v[:, 0] for _, v in part.my_voxels(batch.voxels)]) for part, batch in zip(parts, loaded, strict=True)
    ]
    assert torch.equal(torch.stack(mine, 1).flatten(), torch.cat([voxels[:, 0] for voxels in whole.voxels]))
    lonely = batches(subjects, 60, batch_size=3, process=2, processes=3)
    assert [len(voxels) for _, voxels in lonely.my_voxels(lonely.load(0, 0).voxels)] == [0, 0, 1]


def test_rows_that_do_not_divide_are_refused():
    with pytest.raises(UserError, match="6 trials of a batch do not divide among 4 devices"):
        batches([make(np.arange(20))], 20, processes=4)


def test_a_batch_smaller_than_the_number_of_subjects_is_refused():
    with pytest.raises(
        UserError, match="batch_size: 2 is less than one trial of each of the 3 subjects; use at least 3"
    ):
        batches([make(np.arange(9), subject=s) for s in (1, 2, 3)], 9, batch_size=2)


def test_targets_of_fewer_images_than_the_trials_show_are_refused():
    with pytest.raises(UserError, match="targets tokens: 19 images, but the trials show image 19"):
        batches([make(np.arange(20))], 19)


@pytest.fixture
def betas(tmp_path):
    path = tmp_path / "betas.h5"
    values = np.random.default_rng(0).standard_normal((10000, 2)).astype(np.float16)
    with h5py.File(path, "w") as file:
        file["betas"] = values
    return path, values


def test_rows_are_read_from_anywhere_in_any_order(betas):
    path, values = betas
    rows = np.random.default_rng(1).permutation(10000)[:500]
    read = read_rows(path, rows)
    assert read.dtype == np.float16
    assert np.array_equal(read, values[rows])
    assert np.array_equal(read_rows(path, np.array([9999, 0, 4096, 4095])), values[[9999, 0, 4096, 4095]])


def test_damaged_betas_are_named(betas, tmp_path):
    path, _ = betas
    with pytest.raises(UserError, match=r"betas.h5: betas of shape \(10000, 2\), but the trials name row 10000"):
        load_subject(path, subject=1, image=np.array([0]), row=np.array([10000]))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"betas.h5: not readable as betas"):
        read_rows(path, np.array([5]))
    with pytest.raises(UserError, match=r"absent.h5: not readable as betas"):
        read_rows(tmp_path / "absent.h5", np.array([5]))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["voxels"] = np.zeros((2, 2))
    with pytest.raises(UserError, match=r"other.h5: not readable as betas"):
        read_rows(tmp_path / "other.h5", np.array([0]))


def test_no_trials_at_all_are_refused(betas):
    with pytest.raises(UserError, match="subject 3: no training trials in the chosen sessions"):
        load_subject(betas[0], subject=3, image=np.empty(0, np.int64), row=np.empty(0, np.int64))


def test_damaged_targets_are_named(tmp_path):
    path = tmp_path / "tokens.npy"
    np.save(path, np.zeros((5, 2, 4), np.float16))
    assert open_targets(path, axes=3).shape == (5, 2, 4)
    with pytest.raises(UserError, match=r"tokens.npy: targets of shape \(5, 2, 4\), expected 4 axes"):
        open_targets(path, axes=4)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match=r"tokens.npy: not readable as targets"):
        open_targets(path, axes=3)
    with pytest.raises(UserError, match=r"absent.npy: not readable as targets"):
        open_targets(tmp_path / "absent.npy", axes=3)


@pytest.mark.parametrize(
    ("people", "batch_size", "epoch_trials", "steps"), [(7, 42, 30000, 714), (1, 24, 30000, 1250), (1, 24, 750, 31)]
)
def test_published_epochs_have_the_published_number_of_steps(people, batch_size, epoch_trials, steps):
    """floor(750 sessions / rows): 40 sessions in pretraining and fine-tuning, and 1."""
    subjects = [make(np.arange(60), subject=number) for number in range(1, people + 1)]
    made = batches(subjects, 60, batch_size=batch_size, epoch_trials=epoch_trials)
    assert made.steps == steps
    assert made.rows == batch_size
