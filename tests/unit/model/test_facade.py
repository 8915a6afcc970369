import subprocess
import sys

import pytest
from tiny_decoder import normal, tiny

import mindeye2
from mindeye2.errors import UserError
from mindeye2.model.released import write_released
from mindeye2.model.upstream import to_released


def test_load_opens_a_saved_model(tmp_path):
    model = tiny().eval()
    model.save(tmp_path)
    assert mindeye2.load(tmp_path).encode(normal(2, 11)).tokens.equal(model.encode(normal(2, 11)).tokens)


def test_load_opens_a_released_file(tmp_path):
    model = tiny(backbone="legacy_mixer", lowlevel_latents=None).eval()
    write_released(tmp_path / "last.pth", to_released(model))
    loaded = mindeye2.load(str(tmp_path / "last.pth"))
    assert loaded.encode(normal(2, 7), 1).tokens.equal(model.encode(normal(2, 7), 1).tokens)
    assert loaded.metadata["pixel_range"] == "legacy01"


def test_load_names_what_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"last\.pth: No such file"):
        mindeye2.load(tmp_path / "last.pth")


def test_public_names():
    assert {"load", "metrics"} <= set(dir(mindeye2))
    assert mindeye2.metrics.__name__ == "mindeye2.metrics"
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        mindeye2.lode  # noqa: B018


def test_importing_the_package_is_light():
    code = "import sys, mindeye2; print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
