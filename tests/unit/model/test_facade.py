import subprocess
import sys

import pytest
from tiny_decoder import normal, tiny

import mindeye2


def test_load_opens_a_saved_model(tmp_path):
    model = tiny().eval()
    model.save(tmp_path)
    assert mindeye2.load(tmp_path).encode(normal(2, 11)).tokens.equal(model.encode(normal(2, 11)).tokens)


def test_public_names():
    assert {"load", "metrics"} <= set(dir(mindeye2))
    assert mindeye2.metrics.__name__ == "mindeye2.metrics"
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        mindeye2.lode  # noqa: B018


def test_importing_the_package_is_light():
    code = "import sys, mindeye2; print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
