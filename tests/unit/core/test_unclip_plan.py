"""Where an unCLIP network is trained: only where asked for, on which pictures, and what a key then covers."""

from pathlib import Path

import pytest
import whole_tree
from PIL import Image

from mindeye2.config import parse_config
from mindeye2.errors import UserError
from mindeye2.plan import make_plan

ASKED = {"reconstruct": {"unclip": "trained"}}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    whole_tree.write(root, "nsd", {1: 2})
    (root / "weights/sdxl/unet").mkdir()
    (root / "weights/sdxl/unet/config.json").write_text("{}")
    (root / "pictures").mkdir()
    Image.new("RGB", (4, 4)).save(root / "pictures/a.png")
    return root


def content(tree: Path, variants: dict, **sections) -> dict:
    paths = {name: str(tree / name) for name in ("dataset", "captions", "weights", "pictures")}
    matrix = {"subjects": [1], "sessions": [1], "variants": variants}
    alone = {"dataset": {"sessions": {1: 2}}, "finetune": {"init": "scratch"}, "evaluate": {"usual_caches": False}}
    return {"paths": paths, "matrix": matrix, **alone, **sections}


def plan_of(tree: Path, tmp_path: Path, variants: dict, **sections):
    return make_plan(parse_config(content(tree, variants, **sections)), tmp_path)


def by_stage(plan, stage: str) -> list:
    return [node for node in plan.nodes.values() if node.stage == stage]


def test_it_is_planned_only_where_asked_for(tree, tmp_path):
    plain = plan_of(tree, tmp_path, {"default": {}})
    both = plan_of(tree, tmp_path, {"default": {}, "trained": ASKED})
    assert not by_stage(plain, "unclip")
    # Pictures at 256 px, their tokens and latents; reconstruct, refine, evaluate of the variant; the tables.
    added = sorted(node.stage for id, node in both.nodes.items() if id not in plain.nodes)
    assert added == ["evaluate", "reconstruct", "refine", "stimuli", "tables", "targets", "targets", "unclip"]
    assert [id for id in plain.nodes if id not in both.nodes] == [plain.tables.id]
    assert "unclip" not in plain.tables.spec["config"]["config"], "so nothing of a run without it gets another key"
    assert both.tables.spec["config"]["config"]["unclip"]["init"] == "sdxl"
    (node,) = by_stage(both, "unclip")
    (made,) = [node for node in by_stage(both, "reconstruct") if "unclip" in node.spec["inputs"]]
    assert made.spec["inputs"]["unclip"] == [node.id]
    assert not any(name.startswith("weights/unclip") for name in made.spec["sources"])
    assert made.spec["config"]["reconstruct"]["unclip"] == "trained"
    assert set(node.spec["sources"]) == {"weights/sdxl/unet/config.json"}
    assert both.cells[1].unclip is node and both.cells[0].unclip is None


def test_pictures_of_the_decoders_size_share_their_tokens(tree, tmp_path):
    sized = {"unclip": {"image_px": 224}, "targets": {"pixel_range": "pm1"}}
    plan = plan_of(tree, tmp_path, {"default": ASKED}, **sized)
    (node,) = by_stage(plan, "unclip")
    (finetune,) = by_stage(plan, "finetune")
    assert node.spec["inputs"]["clip"] == finetune.spec["inputs"]["clip"]
    legacy = plan_of(tree, tmp_path, {"default": ASKED}, unclip={"image_px": 224})
    (other,) = by_stage(legacy, "unclip")
    assert other.key == node.key, (
        "the network learns from tokens of correctly normalised pictures, whatever the decoder's"
    )


def test_one_network_serves_all_seeds(tree, tmp_path):
    given = content(tree, {"default": ASKED})
    given["matrix"]["seeds"] = [1, 2]
    plan = make_plan(parse_config(given), tmp_path)
    assert len(by_stage(plan, "unclip")) == 1 and len(by_stage(plan, "reconstruct")) == 2


def test_a_folder_of_pictures_is_in_the_key_by_its_content(tree, tmp_path):
    def node(fingerprint="sha256"):
        given = content(tree, {"default": ASKED}, unclip={"pictures": "folder"})
        given["dataset"]["fingerprint"] = fingerprint
        plan = make_plan(parse_config(given), tmp_path)
        (found,) = [node for node in by_stage(plan, "stimuli") if node.spec["config"]["dataset"]["source"] == "folder"]
        return found

    first, by_size = node(), node("size")
    assert first.spec["sources"]["pictures"]["files"] == 1
    assert first.key == node().key != by_size.key
    Image.new("RGB", (4, 4), "red").save(tree / "pictures/a.png")
    assert node().key != first.key
    Image.new("RGB", (4, 4)).save(tree / "pictures/a.png")


def test_settings_of_speed_are_in_no_key(tree, tmp_path):
    (plain,) = by_stage(plan_of(tree, tmp_path, {"default": ASKED}), "unclip")
    free = {"recompute": True, "checkpoint_minutes": 1.0}
    (same,) = by_stage(plan_of(tree, tmp_path, {"default": ASKED}, unclip=free), "unclip")
    (other,) = by_stage(plan_of(tree, tmp_path, {"default": ASKED}, unclip={"seed": 1}), "unclip")
    assert plain.key == same.key != other.key


def test_true_tokens_are_read_only_where_asked_for(tree, tmp_path):
    plan = plan_of(tree, tmp_path, {"default": {}, "truth": {"reconstruct": {"tokens": "targets"}}})
    roles = [set(node.spec["inputs"]) for node in by_stage(plan, "reconstruct")]
    assert roles == [{"finetune", "behav", "betas"}, {"finetune", "behav", "betas", "clip"}]
    assert "tokens" not in by_stage(plan, "reconstruct")[0].spec["config"]["reconstruct"]


def test_nobody_is_tested_on_what_is_trained_on(tree):
    given = content(tree, {"default": ASKED})
    given["matrix"]["split"] = "leave_one_session_out"
    with pytest.raises(UserError, match=r"leave_one_session_out tests on all of them; set unclip\.pictures: folder"):
        parse_config(given)
    given["unclip"] = {"pictures": "folder"}
    parse_config(given)


def test_released_pictures_have_one_size(tree):
    given = content(tree, {"default": ASKED})
    given["dataset"] |= {"source": "released"}
    with pytest.raises(UserError, match=r"unclip\.image_px is 256, but .* set unclip\.image_px: 224"):
        parse_config(given)
