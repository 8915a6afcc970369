from pathlib import Path

import numpy as np
import pytest

from mindeye2.data import haxby
from mindeye2.data.drawings import category_pictures
from mindeye2.data.haxby import CATEGORIES, REST, read_labels
from mindeye2.data.shards import COLUMNS
from mindeye2.demo.world import HAXBY_KINDS
from mindeye2.errors import UserError

LABELS = Path(haxby.__file__).parents[1] / "demo" / "haxby" / "attributes_literal.txt"


def test_labels_of_the_shipped_recording():
    labels = read_labels(LABELS, subject=1, sessions=12)
    assert len(labels.session) == 1452 and np.bincount(labels.session)[1:].tolist() == [121] * 12
    assert np.bincount(labels.category + 1).tolist() == [588] + [108] * 8
    first = [CATEGORIES[kind] for kind in labels.category[:121] if kind != REST][::9]
    assert first == ["scissors", "face", "cat", "shoe", "house", "scrambled", "bottle", "chair"]


def test_trials_are_the_labelled_volumes_of_the_first_runs():
    labels = read_labels(LABELS, subject=1, sessions=3)
    table = haxby.trials(labels, sessions=3)
    column = {name: table[:, index] for index, name in enumerate(COLUMNS)}
    assert table.shape == (216, 17)
    np.testing.assert_array_equal(column["session"], labels.session[column["row"].astype(int)])
    np.testing.assert_array_equal(column["image"], labels.category[column["row"].astype(int)])
    assert column["trial"].tolist() == [*range(1, 73)] * 3
    assert set(column["is_shared"]) == {0} and set(column["reaction_time"]) == {-1}


def test_drawn_pictures_show_the_categories():
    assert CATEGORIES == HAXBY_KINDS
    pictures, captions = category_pictures(32)
    assert pictures.shape == (len(CATEGORIES), 32, 32, 3) and pictures.dtype == np.uint8
    assert len(np.unique(pictures.reshape(len(pictures), -1), axis=0)) == len(pictures)
    for kind, found in zip(CATEGORIES, captions, strict=True):
        assert kind in found[0] and all("with" not in caption for caption in found)
    np.testing.assert_array_equal(pictures, category_pictures(32)[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("face 0\nhorse 0\n", r"line 2: 'horse 0' is not one of rest, "),
        ("face 0\nface\n", r"line 2: 'face' is not"),
        ("face 0\nface 2\n", r"runs must count 0, 1, 2"),
        ("face 1\nface 0\n", r"runs must count 0, 1, 2"),
        ("", r"runs must count 0, 1, 2"),
        ("face 0\nface 1\n", r"2 runs, dataset.sessions asks for 12"),
    ],
)
def test_a_damaged_label_file_is_refused(tmp_path, content, message):
    path = tmp_path / "attributes_literal.txt"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_labels(path, subject=1, sessions=12)


def test_there_is_one_subject():
    with pytest.raises(UserError, match=r"subject 2, but Haxby's data here has subject 1 only"):
        read_labels(LABELS, subject=2, sessions=12)
