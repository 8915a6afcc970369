"""A folder of pictures of any size, as files and in shards."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from mindeye2.data.layout import picture_files
from mindeye2.data.pictures import PictureFolder
from mindeye2.errors import UserError

PX = 16


def encoded(width: int, height: int, colour) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "wide.png").write_bytes(encoded(64, 32, "red"))
    (tmp_path / "c.png").write_bytes(encoded(20, 40, "lime"))
    (tmp_path / "readme.txt").write_text("no picture")
    with tarfile.open(tmp_path / "a.tar", "w") as shard:
        for name, content in (
            ("0.png", encoded(8, 8, "blue")),
            ("0.txt", b"caption"),
            ("1.PNG", encoded(16, 16, "white")),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    return tmp_path


def test_pictures_of_files_and_shards_in_order(folder):
    assert [path.name for path in picture_files(folder)] == ["a.tar", "wide.png", "c.png"]
    pictures = PictureFolder(folder, PX)
    assert len(pictures) == 4
    (block,) = pictures.blocks()
    assert block.shape == (4, PX, PX, 3) and block.dtype == np.uint8
    assert block[:, 8, 8].tolist() == [[0, 0, 255], [255, 255, 255], [255, 0, 0], [0, 255, 0]]
    # The wide one is 32 x 16 before the crop, the high one 16 x 32.
    assert pictures.sizes == [(8, 8, 0, 0), (16, 16, 0, 0), (32, 64, 0, 8), (40, 20, 8, 0)]


def test_the_crop_is_the_centre(tmp_path):
    picture = np.zeros((PX, 2 * PX, 3), np.uint8)
    picture[:, PX // 2 : PX // 2 + PX] = 200
    Image.fromarray(picture).save(tmp_path / "a.png")
    (block,) = PictureFolder(tmp_path, PX).blocks()
    assert (block == 200).all()


def test_a_picture_that_cannot_be_read_is_named(folder):
    (folder / "c.png").write_bytes(encoded(20, 40, "lime")[:40])
    with pytest.raises(UserError, match=r"c\.png: not readable as a picture .*; remove it or fetch it again"):
        list(PictureFolder(folder, PX).blocks())
    (folder / "a.tar").write_bytes(b"no tar")
    with pytest.raises(UserError, match=r"a\.tar: not readable as a shard"):
        PictureFolder(folder, PX)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no pictures \(.*\.tar\); put them there, or correct paths\.pictures"):
        picture_files(tmp_path)
