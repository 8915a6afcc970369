"""Arrays of new objects."""

import numpy as np

from mindeye2.stages.arrays import Rows


def test_rows_are_the_array_and_survive_a_broken_note(tmp_path):
    values = np.arange(24, dtype=np.float16).reshape(6, 2, 2)
    rows = Rows(tmp_path, 6)
    rows.write(a=values[:4], b=values[:4, 0])
    again = Rows(tmp_path, 6)
    assert again.done == 4
    again.write(a=values[4:], b=values[4:, 0])
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy", mmap_mode="r"), values)
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), values[:, 0])

    assert Rows(tmp_path, 7).done == 0, "another number of rows"
    with (tmp_path / "a.npy").open("r+b") as file:
        file.truncate(100)
    assert Rows(tmp_path, 6).done == 0, "a file shorter than the note says"
    (tmp_path / "rows.json").write_text("{")
    assert Rows(tmp_path, 6).done == 0
