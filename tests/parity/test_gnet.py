"""GNet against the original's numbers (gold set k), through a checkpoint in the released layout."""

import json
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mindeye2.errors import UserError
from mindeye2.frozen.gnet import FILE, GNet, as_seen

GOLD = Path(__file__).parents[1] / "gold/mindeye2"
SUBJECT = json.loads((GOLD / "k_gnet.json").read_text())["subject"]
TOLERANCES = json.loads((GOLD / "tolerances.json").read_text())["k_gnet"]


@pytest.fixture(scope="module")
def checkpoint():
    """The released file's nesting: tensors of the networks, numpy arrays beside them."""
    tensors = load_file(GOLD / "k_gnet.safetensors")
    enc, fwrf = "best_params.enc.", f"best_params.fwrfs.{SUBJECT}."
    readout = OrderedDict((name.removeprefix(fwrf), value) for name, value in tensors.items() if name.startswith(fwrf))
    return {
        "best_params": {
            "enc": OrderedDict((name.removeprefix(enc), tensors[name]) for name in tensors if name.startswith(enc)),
            "fwrfs": {SUBJECT: readout},
        },
        "input_mean": tensors["input_mean"].numpy(),
        "val_cc": {SUBJECT: np.zeros(len(readout["b"]), np.float32)},
        "voxel_mask": {SUBJECT: np.ones(9, dtype=bool)},
        "voxel_roi": {SUBJECT: np.array(["V1", "higher"])},
        "brain_nii_shape": {SUBJECT: np.array([81, 104, 83])},
    }


@pytest.fixture(scope="module")
def gnet(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gnet")
    torch.save(checkpoint, folder / FILE, pickle_protocol=2)
    return GNet.load(folder, subject=SUBJECT)


@pytest.fixture(scope="module")
def arrays():
    with np.load(GOLD / "k_gnet.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.fixture(scope="module")
def pictures(arrays):
    # Half a level up: x / 255 * 255 falls below x for some x, and what is seen is cut to whole levels.
    return (arrays["images_uint8"].float() + 0.5) / 255


def close(found, expected, name):
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=TOLERANCES[name]["suggested_atol"], rtol=0)


def test_feature_maps(gnet, arrays, pictures):
    seen = as_seen(pictures[:1], 227)
    torch.testing.assert_close(seen[0, :, ::4, ::4], arrays["network_input_first"], atol=1e-7, rtol=0)
    with torch.no_grad():
        for number, maps in enumerate(gnet.encoder(seen)):
            name = f"feature_map_{number}_first"
            step = -(-maps.shape[-1] // arrays[name].shape[-1])
            close(maps[0, :, ::step, ::step], arrays[name], name)


def test_predicted_betas(gnet, arrays, pictures):
    betas = gnet.predict(pictures)
    assert gnet.voxels == betas.shape[1]
    close(betas, arrays["predicted_betas"], "predicted_betas")
    close(betas[:, arrays["voxel_mask"]], arrays["predicted_betas_masked"], "predicted_betas_masked")


def test_another_subject_and_foreign_files_are_refused_by_name(checkpoint, tmp_path):
    torch.save(checkpoint, tmp_path / FILE)
    with pytest.raises(UserError, match=rf"{FILE}: knows the subjects {SUBJECT}, not 8"):
        GNet.load(tmp_path, subject=8)
    torch.save({"best_params": {}}, tmp_path / FILE)
    with pytest.raises(UserError, match=rf"{FILE}: has no best_params with enc"):
        GNet.load(tmp_path, subject=SUBJECT)
    (tmp_path / FILE).unlink()
    with pytest.raises(UserError, match=rf"{FILE}: No such file"):
        GNet.load(tmp_path, subject=SUBJECT)


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("ran"),)


@pytest.mark.parametrize(
    "save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2))]
)
def test_a_checkpoint_that_runs_code_is_refused(save, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save({"best_params": {"enc": Bomb()}}, tmp_path / FILE)
    with pytest.raises(UserError, match=rf"{FILE}: (would run|damaged|truncated)"):
        GNet.load(tmp_path, subject=SUBJECT)
    assert not (tmp_path / "ran").exists()
