import numpy as np
import pytest

from mindeye2.demo.design import Design, make_design, responses
from mindeye2.errors import UserError

SESSIONS = {1: 4, 3: 4, 4: 2}


@pytest.fixture(scope="module")
def design() -> Design:
    return make_design(seed=0, sessions=SESSIONS, trials_per_session=48, shared_images=20)


def test_every_image_is_planned_three_times(design):
    assert design.images_per_subject == 4 * 48 // 3
    np.testing.assert_array_equal(np.bincount(design.order)[1:], 3)
    assert len(design.scenes) == len(design.captions) == 20 + 3 * (64 - 20)


def test_subjects_share_exactly_the_shared_images(design):
    images = {subject: set(design.subject_images[subject - 1]) for subject in SESSIONS}
    for one, other in ((1, 3), (1, 4), (3, 4)):
        assert images[one] & images[other] == set(design.shared_ids())
    assert not design.subject_images[1].any(), "subject 2 does not exist"
    assert design.is_shared().sum() == 20
    assert (np.diff(design.shared_ids()) > 0).all()


def test_repeats_and_shared_images_are_spread_over_the_sessions(design):
    shown = design.order.reshape(4, 48)
    for trials in shown:
        assert 4 <= (trials <= 20).sum() <= 26
        assert len(set(trials)) > 20
    sessions_of_image = [len({s for s in range(4) if image in shown[s]}) for image in range(1, 65)]
    assert {1, 2, 3} <= set(sessions_of_image), "some images come back at once, others much later"


def test_fewer_sessions_see_fewer_shared_presentations(design):
    count = {subject: design.is_shared()[design.shown(subject)].sum() for subject in SESSIONS}
    assert count[1] == count[3] == 60
    assert 0 < count[4] < 60
    assert len(design.shown(4)) == 2 * 48


def test_too_many_shared_images_are_refused():
    with pytest.raises(UserError, match=r"simulate.shared_images: 32 .* lower it"):
        make_design(seed=0, sessions={1: 2}, trials_per_session=48, shared_images=32)


def test_responses_follow_the_order_of_trials(design):
    table = responses(design, 1, seed=0)
    assert len(table) == 4 * 48
    np.testing.assert_array_equal(table["73KID"] - 1, design.shown(1))
    np.testing.assert_array_equal(table["10KID"], design.order)
    assert table.RUN.max() == 12 and table.TRIAL.max() == 4
    assert (np.diff(table.TIME) > 0).all()
    repeat = table.duplicated("73KID")
    np.testing.assert_array_equal(table.ISOLD, repeat.astype(int))
    np.testing.assert_array_equal(table.ISOLDCURRENT, table.duplicated(["SESSION", "73KID"]).astype(int))
    np.testing.assert_array_equal(table.MEMORYRECENT.isna(), ~repeat)
    trial = np.arange(len(table))
    last = {}
    for row, image in enumerate(table["73KID"]):
        if image in last:
            assert table.MEMORYRECENT[row] == trial[row] - last[image] - 1
        last[image] = row


def test_missed_responses_are_nan_in_every_column_about_them(design):
    table = responses(design, 1, seed=0)
    missed = table.BUTTON.isna()
    assert 0 < missed.sum() < len(table) / 5
    for column in ("ISCORRECT", "RT", "CHANGEMIND", "ISCORRECTCURRENT"):
        np.testing.assert_array_equal(table[column].isna(), missed)
    assert (table.TOTAL1 + table.TOTAL2)[missed].eq(0).all()
    assert (table.TOTAL1 + table.TOTAL2)[~missed].ge(1).all()
    unrecorded = table.MISSINGDATA == 1
    assert unrecorded.sum() == 4 and missed[unrecorded].all()
    assert responses(design, 3, seed=0).MISSINGDATA.eq(0).all()
    answered = table[~missed]
    np.testing.assert_array_equal(answered.ISCORRECT, (answered.BUTTON == 2) == (answered.ISOLD == 1))
    assert answered.ISCORRECT.mean() > 0.6


def test_a_short_session_has_fewer_runs():
    short = make_design(seed=0, sessions={1: 2}, trials_per_session=10, shared_images=2)
    assert short.num_runs == 2
    np.testing.assert_array_equal(np.bincount(short.run_of_trial()), [5, 5])
