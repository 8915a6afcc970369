import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from mindeye2.data.nsd import read_design, read_responses, read_stimulus_info
from mindeye2.data.shards import COLUMNS
from mindeye2.errors import UserError


@pytest.fixture
def design(tmp_path):
    path = tmp_path / "nsd_expdesign.mat"
    images = np.stack([np.arange(1, 11), np.arange(11, 21)])
    savemat(path, {"sharedix": np.array([[2.0, 5.0]]), "subjectim": images.astype(float)})
    return read_design(path)


@pytest.fixture
def table():
    """Subject 1: two sessions of two runs of two trials; columns in another order than the official one."""
    missing = np.full(8, np.nan)
    return pd.DataFrame(
        {
            "BUTTON": missing,
            "73KID": [1, 2, 3, 1, 5, 6, 2, 10],
            "SUBJECT": 1,
            "SESSION": [1, 1, 1, 1, 2, 2, 2, 2],
            "RUN": [1, 1, 2, 2] * 2,
            "TRIAL": [1, 2] * 4,
            "10KID": 1,
            "TIME": 736900.75,
            "ISOLD": [0, 0, 0, 1, 0, 0, 1, 0],
            "ISCORRECT": [1.0, *missing[:7]],
            "RT": 700.12345678,
            **dict.fromkeys(["CHANGEMIND", "ISOLDCURRENT", "ISCORRECTCURRENT", "TOTAL1", "TOTAL2"], 1.0),
        }
    )


def _read(tmp_path, table, design, sessions=2, subject=1):
    path = tmp_path / "responses.tsv"
    table.to_csv(path, sep="\t", index=False, na_rep="NaN")
    return read_responses(path, subject=subject, sessions=sessions, design=design)


def test_columns_go_by_name(tmp_path, table, design):
    trials = _read(tmp_path, table, design)
    column = {name: trials[:, index].tolist() for index, name in enumerate(COLUMNS)}
    assert column["image"] == [0, 1, 2, 0, 4, 5, 1, 9]
    assert column["row"] == [*range(8)]
    assert column["time"] == [736900] * 8
    assert column["is_correct"] == [1] + [-1] * 7
    assert column["button"] == [-1] * 8
    assert column["reaction_time"] == [700.12345678] * 8
    assert column["is_shared"] == [0, 1, 0, 0, 1, 0, 1, 0]


def test_only_the_first_sessions_are_used(tmp_path, table, design):
    broken_later = table.copy()
    broken_later.loc[7, "73KID"] = 4242
    np.testing.assert_array_equal(
        _read(tmp_path, broken_later, design, sessions=1), _read(tmp_path, table, design, sessions=1)
    )
    # Trials per session are counted, so a shorter later session does no harm either.
    np.testing.assert_array_equal(
        _read(tmp_path, table[:7], design, sessions=1), _read(tmp_path, table, design, sessions=1)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns=["RT", "73KID"]), r"no column 73KID, RT; columns go by NSD's names"),
        (lambda t: t.replace({"73KID": {6: 11}}), r"line 7: 73KID 11 is not among the images of subject 1 in nsd_expd"),
        (lambda t: t.replace({"73KID": {6: 0}}), r"line 7: 73KID 0 is not among"),
        (lambda t: t.replace({"73KID": {6: np.nan}}), r"line 7: 73KID is nan, a whole number is needed"),
        (lambda t: t.replace({"73KID": {6: 6.5}}), r"line 7: 73KID is 6\.5, a whole number is needed"),
        (lambda t: t.replace({"73KID": {6: "six"}}), r"truncated or damaged \(ValueError: could not convert .*six"),
        (lambda t: t[:7], r"3 trials in session 2, 4 in session 1; .* lower dataset\.sessions of subject 1 to 1"),
        (lambda t: t[:4], r"no trials of session 2, dataset\.sessions asks for 2 of subject 1; lower it"),
        (lambda t: t[:0], r"no trials of session 1"),
        (lambda t: t.assign(SUBJECT=2), r"trials of subject 2, subject 1 expected"),
        (lambda t: t.iloc[[1, 0, *range(2, 8)]], r"line 3: session, run, trial \(1, 1, 1\) after \(1, 1, 2\)"),
        (lambda t: t.iloc[[0, 0, *range(2, 8)]], r"line 3: session, run, trial \(1, 1, 1\) after \(1, 1, 1\)"),
        (lambda t: t.replace({"SESSION": {1: 0}}), r"no trials of session 1|trials of session 0"),
    ],
)
def test_a_table_that_cannot_be_right_is_refused_in_one_line(tmp_path, table, design, change, message):
    with pytest.raises(UserError, match=message) as caught:
        _read(tmp_path, change(table), design)
    assert "responses.tsv" in str(caught.value) and "\n" not in str(caught.value)


def test_a_subject_beyond_the_design_is_refused(tmp_path, table, design):
    with pytest.raises(
        UserError, match=r"nsd_expdesign\.mat: subjectim has 2 subjects, dataset\.sessions asks for sub"
    ):
        _read(tmp_path, table.assign(SUBJECT=3), design, subject=3)


def test_the_shared_mask_covers_the_stimulus_set(design):
    assert np.flatnonzero(design.shared_mask(20)).tolist() == [1, 4]
    with pytest.raises(UserError, match=r"subjectim names image 20, but the stimulus brick has 15 images"):
        design.shared_mask(15)


def test_a_damaged_design_is_refused(tmp_path):
    path = tmp_path / "nsd_expdesign.mat"
    savemat(path, {"sharedix": np.arange(1.0, 500.0), "subjectim": np.ones((8, 300))})
    whole = path.read_bytes()
    for content in (b"", whole[:90], whole[:1000], b"<html>" * 100):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"nsd_expdesign\.mat: truncated or damaged") as caught:
            read_design(path)
        assert "\n" not in str(caught.value)
    savemat(path, {"sharedix": np.arange(1.0, 5.0)})
    with pytest.raises(UserError, match=r"KeyError: 'subjectim'"):
        read_design(path)
    savemat(path, {"sharedix": np.arange(4.0), "subjectim": np.ones((2, 3))})
    with pytest.raises(UserError, match=r"sharedix of 4 ids from 0"):
        read_design(path)


def test_stimulus_info_is_in_the_order_of_the_brick(tmp_path):
    path = tmp_path / "info.csv"
    table = pd.DataFrame({"nsdId": [2, 0, 1], "cocoId": [30, 10, 20], "cocoSplit": ["val2017", "train2017", "val2017"]})
    table.to_csv(path)
    assert read_stimulus_info(path) == [("train2017", 10), ("val2017", 20), ("val2017", 30)]
    table[1:].to_csv(path)
    assert len(read_stimulus_info(path)) == 2
    table[:2].to_csv(path)
    with pytest.raises(UserError, match=r"info\.csv: .*nsdId does not count 0 to 1"):
        read_stimulus_info(path)
    table.drop(columns="cocoId").to_csv(path)
    with pytest.raises(UserError, match=r"info\.csv: no column cocoId"):
        read_stimulus_info(path)
