"""A released file becomes a folder of ours and comes back; what does not fit is refused and leaves nothing."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import mindeye2
from mindeye2.cli import main
from mindeye2.data.layout import region_mask
from mindeye2.model.mindeye import MindEye
from mindeye2.model.released import write_released
from mindeye2.model.upstream import to_released
from mindeye2.store import file_sha256

GOLD = Path(__file__).parents[2] / "gold" / "mindeye2"
PRETRAINED = GOLD / "a3_multi3_nolowlevel_last.pth"
VOXELS = {1: 37, 2: 37, 4: 53, 7: 41}
"""Subject 1 has the voxels of the single model, the others those of the pretraining file."""


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """A single subject's model with the low-level branch, in the released layout and order."""
    layout = json.loads((GOLD / "a_layouts.json").read_text())["models"]["a1"]
    state = load_file(GOLD / f"{layout['file_stem']}.safetensors")
    path = tmp_path_factory.mktemp("released") / "last.pth"
    tensors = {name: state[name].float() for name in layout["key_order"]}
    torch.save({"epoch": 149, "model_state_dict": tensors, "lrs": [0.1]}, path)
    return path


@pytest.fixture
def config(tmp_path):
    """A configuration of a dataset that has its masks."""
    for subject, voxels in VOXELS.items():
        mask = np.zeros(60, np.int16)
        mask[:voxels] = 1
        path = tmp_path / "nsd" / region_mask(subject, "nsdgeneral")
        path.parent.mkdir(parents=True)
        nibabel.save(nibabel.Nifti1Image(mask.reshape(3, 4, 5), np.eye(4)), path)
    path = tmp_path / "lab.yaml"
    path.write_text(
        json.dumps(
            {
                "paths": {"dataset": str(tmp_path / "nsd")},
                "dataset": {"sessions": dict.fromkeys(map(str, VOXELS), 1)},
                "matrix": {"subjects": [1], "sessions": [1]},
            }
        )
    )
    return str(path)


def run(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    return status, "".join(capsys.readouterr())


def state_of(path):
    return torch.load(path, weights_only=True)["model_state_dict"]


@pytest.mark.parametrize(("file", "whose"), [("single", "--subject 1"), ("pretrained", "--held-out 1")])
def test_there_and_back_to_the_last_bit(single, config, tmp_path, capsys, file, whose):
    file = {"single": single, "pretrained": PRETRAINED}[file]
    out, back = tmp_path / "models" / "mine", tmp_path / "back.pth"
    status, said = run(capsys, "import-weights", file, *whose.split(), "--config", config, "--out", out)
    assert status == 0, said
    assert said.startswith(f"{out}: subject")
    assert sorted(path.name for path in out.parent.iterdir()) == ["mine"]
    assert sorted(path.name for path in out.iterdir()) == ["model.json", "model.safetensors"]

    status, said = run(capsys, "export-weights", out, "--out", back)
    assert (status, said) == (0, f"{back}: written\n")
    theirs, ours = state_of(file), state_of(back)
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], value) and ours[name].dtype == value.dtype for name, value in theirs.items())


def test_an_archive_that_was_written_without_checksums(single, tmp_path, capsys):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"model_state_dict": state_of(single)}, tmp_path / "last.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    status, said = run(capsys, "import-weights", tmp_path / "last.pth", "--subject", 1, "--out", tmp_path / "mine")
    assert status == 0, said


def test_the_note_says_what_shapes_do_not(single, tmp_path, capsys):
    status, said = run(capsys, "import-weights", single, "--subject", 5, "--out", tmp_path / "mine")
    assert status == 0
    assert "subject 5 with 37 voxels, h=48, 4 blocks, prior, retrieval, low-level branch" in said
    model = mindeye2.load(tmp_path / "mine")
    assert model.subjects == [5]
    assert model.sizes["backbone"] == "legacy_mixer"
    assert model.metadata["pixel_range"] == "legacy01"
    assert model.metadata["token_norm"] == "post"
    assert model.metadata["origin"] == {"file": "last.pth", "sha256": file_sha256(single)}
    voxels = torch.randn(2, 37, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.encode(voxels).lowlevel, mindeye2.load(single).encode(voxels).lowlevel)


def test_held_out_subjects_are_the_others_of_the_dataset(config, tmp_path, capsys):
    status, said = run(
        capsys, "import-weights", PRETRAINED, "--held-out", 1, "--config", config, "--out", tmp_path / "mine"
    )
    assert status == 0
    assert "subjects 2, 4, 7 with 37, 53, 41 voxels" in said
    assert mindeye2.load(tmp_path / "mine").subjects == [2, 4, 7]


@pytest.mark.parametrize(
    ("file", "whose", "message"),
    [
        ("single", "--held-out 1", "holds 1 ridge where subjects 2, 4, 7 are expected"),
        ("pretrained", "--subject 1", "holds 3 ridges where subject 1 is expected"),
        ("single", "--subject 4", "the ridge of subject 4 takes 37 voxels, but {nsd}/nsddata/ppdata/subj04"),
        ("pretrained", "--held-out 4", "the ridge of subject 2 takes 53 voxels"),
        ("single", "--subject 3", "--subject 3: no subject of the dataset; choose from 1, 2, 4, 7"),
        ("absent", "--subject 1", "No such file"),
        ("truncated", "--subject 1", "truncated"),
        ("flipped", "--subject 1", "flipped.pth: damaged, the checksum of last/data/"),
        ("sparse", "--subject 1", "ridge.linears.0.weight is a tensor that is sparse"),
        ("empty", "--subject 1", "ridge.linears.0.weight is a tensor without values"),
    ],
)
def test_refused_by_name_and_nothing_written(single, config, tmp_path, capsys, file, whose, message):
    files = {"single": single, "pretrained": PRETRAINED, "absent": tmp_path / "absent.pth"}
    files |= {name: tmp_path / f"{name}.pth" for name in ("truncated", "flipped", "sparse", "empty")}
    content = bytearray(single.read_bytes())
    files["truncated"].write_bytes(content[:5000])
    content[len(content) // 2] ^= 1
    files["flipped"].write_bytes(content)
    state, ridge = state_of(single), "ridge.linears.0.weight"
    torch.save({"model_state_dict": state | {ridge: state[ridge].to_sparse()}}, files["sparse"])
    torch.save({"model_state_dict": state | {ridge: state[ridge].to("meta")}}, files["empty"])
    before = sorted(tmp_path.rglob("*"))
    status, said = run(
        capsys, "import-weights", files[file], *whose.split(), "--config", config, "--out", tmp_path / "mine"
    )
    assert status == 1
    assert message.format(nsd=tmp_path / "nsd") in said
    assert said.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_without_a_configuration_a_pretraining_file_is_of_nsd(tmp_path, capsys):
    status, said = run(capsys, "import-weights", PRETRAINED, "--held-out", 1, "--out", tmp_path / "mine")
    assert status == 1
    assert "holds 3 ridges where subjects 2, 3, 4, 5, 6, 7, 8 are expected" in said


@pytest.mark.parametrize(
    ("voxels", "whose", "message"),
    [
        ([15724], "--subject 1", None),
        ([15724], "--subject 2", "the ridge of subject 2 takes 15724 voxels, as many as NSD's subject 1 has"),
        ([14278, *[9] * 6], "--held-out 1", None),
        ([14278, *[9] * 6], "--held-out 2", "the ridge of subject 1 takes 14278 voxels, as many as NSD's subject 2"),
    ],
)
def test_without_a_configuration_nsds_voxels_tell_a_wrong_subject(tmp_path, capsys, voxels, whose, message):
    sizes = {"prior_depth": 1, "prior_heads": 1, "prior_dim_head": 4, "prior_timesteps": 4}
    model = MindEye(voxels=voxels, hidden_dim=2, tokens=2, clip_dim=4, backbone="legacy_mixer", **sizes)
    write_released(tmp_path / "last.pth", to_released(model))
    status, said = run(capsys, "import-weights", tmp_path / "last.pth", *whose.split(), "--out", tmp_path / "mine")
    assert status == (0 if message is None else 1), said
    assert message is None or (message in said and said.count("\n") == 1)
    assert (tmp_path / "mine").exists() == (message is None)


def test_nothing_is_overwritten(single, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    for arguments in (
        ("import-weights", single, "--subject", 1, "--out", tmp_path / "mine"),
        ("export-weights", tmp_path / "mine", "--out", single),
    ):
        status, said = run(capsys, *arguments)
        assert status == 1
        assert "exists already" in said
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_place_that_cannot_be_written(single, tmp_path, capsys):
    status, said = run(capsys, "import-weights", single, "--subject", 1, "--out", single / "mine")
    assert status == 1
    assert "cannot be written" in said


def test_only_legacy_mixers_are_exported(tmp_path, capsys):
    sizes = {"prior_depth": 1, "prior_heads": 1, "prior_dim_head": 4, "prior_timesteps": 4}
    MindEye(voxels=[5], hidden_dim=4, tokens=2, clip_dim=4, **sizes).save(tmp_path / "mine")
    status, said = run(capsys, "export-weights", tmp_path / "mine", "--out", tmp_path / "last.pth")
    assert status == 1
    assert "backbone=residual_mlp: released files hold legacy_mixer only" in said
    assert not (tmp_path / "last.pth").exists()
