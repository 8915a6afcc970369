"""check-data on trees of every source: whole, with holes, truncated, and of NSD's full extent."""

import numpy as np
import pytest
import whole_tree

from mindeye2.check_data import check_data, describe
from mindeye2.cli import main
from mindeye2.config import load_config, parse_config
from mindeye2.data import layout
from mindeye2.data.sizes import SESSIONS, VOXELS, official_size
from mindeye2.demo.simulate import simulate
from mindeye2.plan import make_plan

HAXBY = "config/haxby.yaml"


def _config(root, source="nsd", **sections):
    paths = {name: str(root / name) for name in ("dataset", "captions", "weights", "store")}
    dataset = {"source": source, "fingerprint": "size"}
    return parse_config({"paths": paths, "dataset": dataset, **sections})


@pytest.fixture(scope="module", params=["nsd", "released"])
def whole(request, tmp_path_factory):
    """(root, source): every file of the eight subjects, tiny ones."""
    root, source = tmp_path_factory.mktemp("whole"), request.param
    whole_tree.write(root, source)
    return root, source


def _said(config):
    findings = check_data(config)
    return findings, list(describe(findings))


def test_a_whole_tree_is_complete(whole):
    root, source = whole
    findings, lines = _said(_config(root, source))
    assert findings.complete and "everything that is needed is there" in lines
    assert len([group for group in findings.groups if group.name.startswith("betas")]) == 8
    files = {path.relative_to(root) for group in findings.groups for path in group.there}
    assert files == {path.relative_to(root) for path in root.rglob("*") if path.is_file()}


def test_it_looks_at_what_planning_reads(whole):
    """Planning on the same tree succeeds, and fails on the file that check-data then calls missing."""
    root, source = whole
    config = _config(root, source)
    read = {name for node in make_plan(config, root / ".plan").nodes.values() for name in node.spec["sources"]}
    findings = check_data(config)
    assert read == {str(path.relative_to(root)) for group in findings.groups for path in group.there}
    assert not (root / "store").exists()


def test_nothing_there(tmp_path):
    findings, lines = _said(_config(tmp_path))
    assert not findings.complete
    text = "\n".join(lines)
    assert f"dataset   {tmp_path}/dataset  (no such folder)" in lines
    assert "          and 39 more for betas of subject 1 (40 sessions)" in lines
    assert "missing   captions/captions_val2017.json" in lines and "missing   weights/clip/" in lines
    assert "312 missing and 0 damaged: ~319." in text and "? is a size that is not known beforehand" in lines
    table = lines[lines.index("") + 1 :]
    table = table[: table.index("")]
    assert len({len(line) for line in table}) == 1
    assert table[1].split() == ["stimuli", "0", "of", "3", "-", "~36.9", "GiB"]


def test_a_network_of_targets_is_needed_even_where_metrics_may_do_without_it(tmp_path):
    _, lines = _said(_config(tmp_path, evaluate={"clip": "clip"}))
    assert "missing   weights/clip/" in lines
    assert not [line for line in lines if "openai_clip " in line]
    assert [line.split()[-1] for line in lines if line.startswith("weights gnet")] == ["optional"]


def test_models_that_were_to_be_imported(tmp_path):
    _, lines = _said(_config(tmp_path, finetune={"source": "imported"}, matrix={"subjects": [1], "sessions": [1]}))
    assert any(line.startswith("models    ") and line.endswith("(no such folder)") for line in lines)
    assert "missing   models/subj01-1sess/model.json" in lines
    (row,) = [line for line in lines if line.startswith("models  ") and " 0 of 2 " in line]
    assert row.split()[-1] == "?"


def test_only_the_configured_subjects_are_asked_for(tmp_path):
    alone = {"matrix": {"subjects": [2], "sessions": [1], "variants": {"scratch": {"finetune": {"init": "scratch"}}}}}
    findings = check_data(_config(tmp_path, **alone))
    data = [group.name for group in findings.groups if not group.name.startswith("weights")]
    assert data == [
        "stimuli",
        "stimuli, captions",
        "behav of subject 2 (40 sessions)",
        "betas of subject 2 (40 sessions)",
    ]


def test_holes_and_truncated_files_are_named(whole):
    root, source = whole
    session = layout.session_needs(5, 7, "betas_fithrf_GLMdenoise_RR")[-1].paths[0]
    hole, cut = {
        "nsd": (root / "dataset" / session, root / "captions/captions_train2017.json"),
        "released": (root / "dataset/betas_all_subj05_fp32_renorm.hdf5", root / "dataset/wds/subj01/train/3.tar"),
    }[source]
    kept = {path: path.read_bytes() for path in (hole, cut)}
    try:
        hole.unlink()
        cut.write_bytes(kept[cut][:1])
        findings, lines = _said(_config(root, source))
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    assert not findings.complete
    suffix = " (or .nii.gz)" if source == "nsd" else ""
    assert f"missing   {hole.relative_to(root / 'dataset')}{suffix}" in lines
    assert [line for line in lines if line.startswith(f"damaged   {cut}: truncated or damaged")]
    # A session of 79 x 97 x 78 voxels and 92 MB of captions; betas of 1.565 GB and a shard of 675 samples.
    size = {"nsd": "~985.5 MiB", "released": "~1.5 GiB"}[source]
    assert f"1 missing and 1 damaged: {size} to download" in lines


def test_the_command_line(tmp_path, capsys, monkeypatch):
    config = tmp_path / "micro.yaml"
    config.write_text(
        "dataset: {sessions: {1: 2}}\nsimulate: {trials_per_session: 24, shared_images: 6, voxels: {1: 60}}\n"
        "matrix: {subjects: [1], sessions: [1], variants: {default: {}}}\nfinetune: {init: scratch}\n"
        f"paths: {{dataset: {tmp_path}/nsd, captions: {tmp_path}/coco, store: {tmp_path}/store}}\n"
    )
    simulate(load_config(config))
    monkeypatch.setenv("MINDEYE2_WEIGHTS", "mindeye2/demo/weights")
    command = ["check-data", str(tmp_path / "nsd"), "--config", str(config), "--set", "targets.lowlevel_vae=vae"]
    assert main(command) == 0
    assert "everything that is needed is there" in capsys.readouterr().out
    assert main(["check-data", str(tmp_path), *command[2:]]) == 1
    out = capsys.readouterr().out
    assert "missing   nsddata/ppdata/subj01/behav/responses.tsv" in out
    # A simulated tree has none of NSD's sizes.
    assert "GiB + ?" not in out and " missing and 0 damaged: ? to download" in out
    assert main(["check-data", str(tmp_path), "--config", str(tmp_path / "none.yaml")]) == 1
    assert "mindeye2: error: " in capsys.readouterr().err


def test_haxby():
    findings, lines = _said(load_config(HAXBY))
    assert findings.complete and "everything that is needed is there" in lines


def test_sizes_of_official_and_released_files():
    """Against the published listings: betas in GB, pictures 20.5 GiB, the test shard of subject 1 36.6 MiB."""
    listed = {1: 1.887, 2: 1.713, 3: 1.462, 4: 1.184, 5: 1.565, 6: 1.719, 7: 1.522, 8: 1.295}
    for subject, gigabytes in listed.items():
        size = official_size(layout.released_betas(subject))
        assert size.exact and round(size.bytes / 1e9, 3) == gigabytes
        assert VOXELS[subject] * SESSIONS[subject] * 750 * 4 == size.bytes
    assert round(official_size(layout.RELEASED_IMAGES).bytes / 2**30, 1) == 20.5
    assert round(official_size("wds/subj01/new_test/0.tar").bytes / 2**20, 1) == 36.6
    session = official_size(layout.session_needs(1, 1, "betas_fithrf")[0].paths[0])
    assert not session.exact and session.bytes > 81 * 104 * 83 * 750 * np.dtype(np.int16).itemsize
    assert official_size("bold.nii.gz") is official_size("subj01-1sess/model.json") is None
