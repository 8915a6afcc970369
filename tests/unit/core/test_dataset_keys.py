"""What enters the keys of a dataset's objects."""

import pytest
import whole_tree

from mindeye2.config import parse_config
from mindeye2.data import layout
from mindeye2.errors import UserError
from mindeye2.plan import make_plan


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """(source, betas settings) -> keys of the betas objects, on a tree of tiny files."""
    roots = {source: tmp_path_factory.mktemp(source) for source in ("nsd", "released")}
    for source, root in roots.items():
        whole_tree.write(root, source)

    def planned(source, **betas):
        root = roots[source]
        paths = {name: str(root / name) for name in ("dataset", "captions", "weights", "store")}
        config = parse_config({"paths": paths, "dataset": {"source": source}, "betas": betas})
        nodes = make_plan(config, root / ".plan").nodes.values()
        return {node.key for node in nodes if node.stage == "betas"}

    return planned


def test_released_betas_are_keyed_by_what_is_ours_to_choose(keys):
    plain = keys("released")
    assert len(plain) == 8
    assert keys("released", scope="all", statistics="all", version="betas_fithrf") == plain
    assert not keys("released", dtype="float16") & plain


@pytest.mark.parametrize("change", [{"scope": "all"}, {"statistics": "all"}, {"dtype": "float16"}])
def test_betas_of_the_official_tree_are_keyed_by_every_setting(keys, change):
    assert not keys("nsd", **change) & keys("nsd")


@pytest.mark.parametrize("fingerprint", ["size", "sha256"])
def test_a_hole_holds_the_place_of_a_file_to_plan_with_but_is_no_content(tmp_path, fingerprint):
    whole_tree.write(tmp_path, "nsd")
    brick = tmp_path / "dataset" / layout.STIMULUS_BRICK
    brick.unlink()
    with brick.open("wb") as file:
        file.truncate(40 << 20)
    paths = {name: str(tmp_path / name) for name in ("dataset", "captions", "weights", "store")}
    config = parse_config({"paths": paths, "dataset": {"fingerprint": fingerprint}})
    if fingerprint == "size":
        assert make_plan(config, tmp_path / ".plan").cells
    else:
        with pytest.raises(UserError, match=r"nsd_stimuli\.hdf5: truncated or damaged"):
            make_plan(config, tmp_path / ".plan")
