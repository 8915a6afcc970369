import json

import h5py
import numpy as np
import pytest

from mindeye2.data.stimuli import BLOCK, brick_pictures, brick_size, read_captions, write_images
from mindeye2.errors import UserError


def _brick(path, pictures, name="imgBrick"):
    with h5py.File(path, "w") as file:
        file[name] = pictures
    return path


def test_pictures_keep_their_order_and_every_pixel_where_the_size_is_right(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (2 * BLOCK + 3, 8, 8, 3), dtype=np.uint8)
    brick = _brick(tmp_path / "b.hdf5", pictures)
    assert brick_size(brick) == len(pictures)
    write_images(tmp_path / "images.h5", brick_pictures(brick, 8), num_images=len(pictures), px=8)
    with h5py.File(tmp_path / "images.h5") as file:
        images = file["images"][:]
    assert images.dtype == np.float16 and images.shape == (len(pictures), 3, 8, 8)
    np.testing.assert_array_equal(images, (pictures.transpose(0, 3, 1, 2) / 255).astype(np.float16))
    np.testing.assert_array_equal(np.rint(images.astype(np.float64) * 255), pictures.transpose(0, 3, 1, 2))


def test_shrinking_is_anti_aliased_and_growing_interpolates(tmp_path):
    stripes = np.zeros((1, 64, 64, 3), np.uint8)
    stripes[:, :, ::2] = 255
    brick = _brick(tmp_path / "b.hdf5", stripes)
    (small,) = brick_pictures(brick, 16)
    assert small.shape == (1, 16, 16, 3) and np.abs(small[:, 2:-2, 2:-2].astype(int) - 127).max() <= 20
    (large,) = brick_pictures(brick, 100)
    assert large.shape == (1, 100, 100, 3)
    quadrants = np.zeros((1, 32, 32, 3), np.uint8)
    quadrants[:, :16, 16:, 0] = 255
    (half,) = brick_pictures(_brick(tmp_path / "q.hdf5", quadrants), 8)
    assert half[0, 1, 6].tolist() == [255, 0, 0] and half[0, 6, 1].tolist() == [0, 0, 0]


def test_a_brick_of_another_shape_is_refused(tmp_path):
    for number, shape in enumerate([(4, 8, 9, 3), (4, 8, 8), (4, 8, 8, 1), (0, 8, 8, 3)]):
        with pytest.raises(UserError, match=r"imgBrick is uint8 of shape"):
            brick_size(_brick(tmp_path / f"{number}.hdf5", np.zeros(shape, np.uint8)))
    with pytest.raises(UserError, match="imgBrick is float64"):
        brick_size(_brick(tmp_path / "f.hdf5", np.zeros((4, 8, 8, 3))))
    with pytest.raises(UserError, match=r"other\.hdf5: truncated or damaged"):
        brick_size(_brick(tmp_path / "other.hdf5", np.zeros((4, 8, 8, 3), np.uint8), name="images"))


def _captions(folder, split, found):
    content = {"annotations": [{"image_id": image, "caption": caption} for image, caption in found]}
    (folder / f"captions_{split}2017.json").write_text(json.dumps(content))


def test_captions_are_joined_by_split_and_id(tmp_path):
    _captions(tmp_path, "train", [(5, "a red car\n"), (6, "a dog"), (5, " a  car "), (5, "  ")])
    _captions(tmp_path, "val", [(5, "a blue house")])
    images = [("val2017", 5), ("train2017", 5)]
    assert read_captions(tmp_path, images, info=tmp_path / "info.csv") == [
        ["a blue house"],
        ["a red car", "a car"],
    ]


def test_an_image_without_captions_is_named(tmp_path):
    _captions(tmp_path, "train", [(5, "a red car"), (6, "")])
    with pytest.raises(UserError, match=r"captions_train2017\.json: no caption of COCO image 6, nsdId 1 of info\.csv"):
        read_captions(tmp_path, [("train2017", 5), ("train2017", 6)], info=tmp_path / "info.csv")
    with pytest.raises(UserError, match=r"cocoSplit 'test2017'"):
        read_captions(tmp_path, [("test2017", 5)], info=tmp_path / "info.csv")
    _captions(tmp_path, "val", [(5, 3)])
    with pytest.raises(UserError, match=r"captions_val2017\.json: truncated or damaged"):
        read_captions(tmp_path, [("val2017", 5)], info=tmp_path / "info.csv")
