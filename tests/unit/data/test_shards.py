import io
import tarfile

import numpy as np
import pytest

from mindeye2.data.shards import COLUMNS, Sample, read_trials, shard_path, write_shard


def _samples(count, generator, session=1, first=0):
    found = []
    for number in range(first, first + count):
        arrays = {"behav": generator.normal(size=(1, 17)), "past_behav": generator.normal(size=(15, 17))}
        arrays["behav"][0, [0, 2, 5]] = generator.integers(73000), session, number
        found.append(Sample(number, arrays))
    return found


def test_shards_are_equal_bytes_and_webdataset_reads_them(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    samples = _samples(5, np.random.default_rng(0))
    path, again = (shard_path(tmp_path, "train", number) for number in (0, 1))
    for each in (path, again):
        write_shard(each, samples)
    assert path.read_bytes() == again.read_bytes()
    with tarfile.open(path) as shard:
        assert {(member.mtime, member.uid, member.uname) for member in shard} == {(0, 0, "")}

    read = list(webdataset.WebDataset(str(path), shardshuffle=False).decode())
    assert [sample["__key__"] for sample in read] == [f"sample{number:09d}" for number in range(5)]
    for ours, theirs in zip(samples, read, strict=True):
        for name, array in ours.arrays.items():
            np.testing.assert_array_equal(theirs[f"{name}.npy"], array)


def test_an_empty_shard_is_a_tar(tmp_path):
    write_shard(shard_path(tmp_path, "test", 0), [])
    with tarfile.open(shard_path(tmp_path, "test", 0)) as shard:
        assert shard.getnames() == []
    assert len(read_trials(tmp_path, "test")) == 0


def test_trials_come_back_shard_by_shard_in_numeric_order(tmp_path):
    generator = np.random.default_rng(0)
    rows = []
    for shard in (10, 2, 0):
        samples = _samples(4, generator, session=shard + 1, first=shard * 4)
        write_shard(shard_path(tmp_path, "train", shard), samples)
        rows = [sample.arrays["behav"][0] for sample in samples] + rows
    trials = read_trials(tmp_path, "train")
    expected = np.stack(rows)
    assert trials.session.tolist() == [1] * 4 + [3] * 4 + [11] * 4
    np.testing.assert_array_equal(trials.image, expected[:, COLUMNS.index("image")])
    np.testing.assert_array_equal(trials.row, expected[:, COLUMNS.index("row")])
    assert trials.image.dtype == trials.row.dtype == trials.session.dtype == np.int64


def test_reading_agrees_with_tarfile(tmp_path):
    path = shard_path(tmp_path, "train", 0)
    write_shard(path, _samples(30, np.random.default_rng(1)))
    with tarfile.open(path) as shard:
        names = [name for name in shard.getnames() if name.endswith(".behav.npy")]
        theirs = np.concatenate([np.load(io.BytesIO(shard.extractfile(name).read())) for name in names])
    trials = read_trials(tmp_path)
    np.testing.assert_array_equal(trials.row, theirs[:, COLUMNS.index("row")])
