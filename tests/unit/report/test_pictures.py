"""Pictures inside the page: which ones, how large, how they read aloud."""

import base64
import io
from itertools import pairwise

import numpy as np
import pytest
from fake_run import FakeRun, demo_config, haxby_config
from PIL import Image

from mindeye2.report.cells import read_cells
from mindeye2.report.pictures import comparison, data_uri, gallery, tile_side_px


def opened(uri: str) -> np.ndarray:
    kind, _, data = uri.partition(",")
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    job = FakeRun(tmp_path_factory.mktemp("pictures"), demo_config()).job()
    return read_cells(job.config["cells"], job.inputs)


def test_a_tile_shows_its_picture(cells):
    picture = np.zeros((3, 64, 64), dtype=np.float16)
    picture[0, :, :32] = 1.0
    tile = opened(data_uri(picture, 64)).astype(int)
    assert tile.shape == (64, 64, 3)
    assert (tile[20:40, 5:25, 0] > 200).all()
    assert (tile[20:40, 40:60] < 50).all()


def test_a_large_picture_is_shrunk_and_a_small_one_is_not_enlarged():
    assert opened(data_uri(np.full((3, 224, 224), 0.5), 96)).shape == (96, 96, 3)
    assert opened(data_uri(np.full((3, 32, 32), 0.5), 96)).shape == (32, 32, 3)


def test_values_that_are_none_are_black_not_a_crash():
    tile = opened(data_uri(np.full((3, 32, 32), np.nan, dtype=np.float16), 64))
    assert tile.max() < 10


def test_many_pictures_are_small_pictures():
    sides = [tile_side_px(count) for count in (10, 500, 1000, 3000, 100_000)]
    assert sides[0] == 128 and sides[-1] == 32
    assert all(a >= b for a, b in pairwise(sides))


def test_a_gallery_shows_seen_and_decoded_in_order(cells):
    items = gallery(cells[1], 3, 64, seen="seen", unit="session")
    assert [item.title for item in items] == ["picture 0", "picture 1", "picture 2"]
    assert [tile.kind for tile in items[0].tiles] == ["seen", "low-level", "unrefined", "refined"]
    assert items[0].caption in items[0].tiles[0].alt
    assert items[0].decoded_caption in items[0].tiles[3].alt
    # What the fixture drew: the refined picture is closer to the seen one than the blurred low-level one is.
    seen, low, _, refined = (opened(tile.uri).astype(float) for tile in items[0].tiles)
    assert abs(seen - refined).mean() < abs(seen - low).mean()


def test_without_a_lowlevel_branch_there_is_no_such_tile(tmp_path):
    job = FakeRun(tmp_path, demo_config()).job()
    cell = read_cells(job.config["cells"], job.inputs)[0]
    (cell.reconstruct[0] / "lowlevel.npy").unlink()
    (item,) = gallery(cell, 1, 64, seen="seen", unit="session")
    assert [tile.kind for tile in item.tiles] == ["seen", "unrefined", "refined"]


def test_a_comparison_has_one_row_per_cell_and_the_same_pictures(cells):
    ours = [(f"{cell.variant} {cell.sessions}", cell) for cell in cells if cell.subject == 1]
    grid = comparison(cells[1], ours, 5, 64, seen="seen", unit="session")
    assert [label for label, _ in grid.rows] == ["seen", "default 1", "default 3", "scratch 1", "scratch 3"]
    assert all(len(tiles) == 5 == len(grid.titles) for _, tiles in grid.rows)
    assert len({tile.uri for _, tiles in grid.rows for tile in tiles}) == 25


def test_a_cell_that_decoded_other_pictures_has_holes(tmp_path):
    job = FakeRun(tmp_path, demo_config()).job()
    first, second, *_ = read_cells(job.config["cells"], job.inputs)
    np.savez(second.reconstruct[0] / "test.npz", image=np.arange(2, 26), trials=np.ones(24))
    grid = comparison(first, [("second", second)], 4, 64, seen="seen", unit="session")
    assert [tile is None for tile in grid.rows[1][1]] == [True, True, False, False]


def test_folds_take_turns(tmp_path):
    job = FakeRun(tmp_path, haxby_config()).job()
    (cell,) = read_cells(job.config["cells"], job.inputs)
    items = gallery(cell, 10, 64, seen="target", unit="run")
    assert [item.title for item in items][:3] == [f"picture {i}, run {i + 1} held out" for i in range(3)]
    assert items[8].title == "picture 0, run 9 held out"
    assert items[0].tiles[0].alt.startswith("Target, picture 0, run 1 held out")
