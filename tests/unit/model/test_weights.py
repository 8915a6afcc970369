import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_decoder import normal, tiny

from mindeye2.errors import UserError
from mindeye2.model.mindeye import MindEye
from mindeye2.model.weights import NOTE, TENSORS


@pytest.fixture
def saved(tmp_path):
    model = tiny(subjects=[2, 5], metadata={"pixel_range": "pm1"}).eval()
    model.save(tmp_path)
    return model, tmp_path


def change_tensors(folder, change):
    state = load_file(folder / TENSORS)
    change(state)
    save_file(state, folder / TENSORS)


def test_round_trip_from_the_folder_alone(saved):
    model, folder = saved
    before = torch.get_rng_state()
    loaded = MindEye.load(folder)
    assert torch.equal(torch.get_rng_state(), before)
    assert loaded.sizes == model.sizes
    assert loaded.subjects == [2, 5]
    assert loaded.metadata == {"pixel_range": "pm1"}
    assert not loaded.training
    brain = model.encode(normal(3, 11)).tokens
    assert torch.equal(loaded.encode(normal(3, 11)).tokens, brain)
    times = torch.tensor([0, 5, 11])
    assert torch.equal(loaded.prior(brain, times, brain), model.prior(brain, times, brain))
    assert {p.device.type for p in [*loaded.parameters(), *loaded.buffers()]} == {"cpu"}


def test_frozen_parameters_stay_frozen(tmp_path):
    model = tiny(backbone="legacy_mixer")
    model.save(tmp_path)
    frozen = {name for name, p in MindEye.load(tmp_path).named_parameters() if not p.requires_grad}
    assert frozen == {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen


def test_tensors_are_float32_whatever_the_model_was(saved):
    model, folder = saved
    model.bfloat16().save(folder)
    assert {value.dtype for value in load_file(folder / TENSORS).values()} == {torch.float32}
    assert MindEye.load(folder).token_head.weight.dtype == torch.float32


def test_truncated_tensors(saved):
    path = saved[1] / TENSORS
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"model\.safetensors: cannot be read .* damaged"):
        MindEye.load(saved[1])


def test_empty_tensors(saved):
    (saved[1] / TENSORS).write_bytes(b"")
    with pytest.raises(UserError, match=r"model\.safetensors: cannot be read"):
        MindEye.load(saved[1])


@pytest.mark.parametrize("name", [TENSORS, NOTE])
def test_missing_file(saved, name):
    (saved[1] / name).unlink()
    with pytest.raises(UserError, match=name):
        MindEye.load(saved[1])


@pytest.mark.parametrize("text", ['{"sizes": {"vox', "[]", "{}"])
def test_damaged_note(saved, text):
    (saved[1] / NOTE).write_text(text)
    with pytest.raises(UserError, match=r"model\.json: "):
        MindEye.load(saved[1])


@pytest.mark.parametrize(("name", "value"), [("colour", 1), ("backbone", "cubic"), ("prior_heads", -1)])
def test_note_that_describes_no_model(saved, name, value):
    note = json.loads((saved[1] / NOTE).read_text())
    note["sizes"][name] = value
    (saved[1] / NOTE).write_text(json.dumps(note))
    with pytest.raises(UserError, match=r"model\.json: does not describe a model"):
        MindEye.load(saved[1])


def test_missing_tensor(saved):
    change_tensors(saved[1], lambda state: state.pop("retrieval.2.bias"))
    with pytest.raises(UserError, match=r"lacks the tensor retrieval\.2\.bias"):
        MindEye.load(saved[1])


def test_extra_tensor(saved):
    change_tensors(saved[1], lambda state: state.update(extra=torch.ones(2)))
    with pytest.raises(UserError, match="has a tensor extra that the model does not"):
        MindEye.load(saved[1])


def test_tensor_of_another_shape(saved):
    change_tensors(saved[1], lambda state: state.update({"retrieval.2.bias": torch.ones(5)}))
    with pytest.raises(UserError, match=r"retrieval\.2\.bias has shape \(5,\) where the model has \(24,\)"):
        MindEye.load(saved[1])


def test_start_from_keeps_the_own_ridge(saved):
    pretrained, folder = saved
    torch.manual_seed(1)
    model = MindEye(**{**pretrained.sizes, "voxels": [11], "subjects": [7], "dropout": 0.4})
    ridge = {name: value.clone() for name, value in model.ridge.state_dict().items()}
    taken = model.start_from(folder)
    assert all(torch.equal(model.ridge.state_dict()[name], value) for name, value in ridge.items())
    assert torch.equal(model.token_head.weight, pretrained.token_head.weight)
    assert set(taken) == {name for name in model.state_dict() if not name.startswith("ridge.")}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hidden_dim": 8}, "hidden_dim is 16 where this model has 8"),
        ({"lowlevel_latents": None}, r"lowlevel_latents is \[4, 8, 12\] where this model has None"),
        ({"lowlevel_groups": 2}, "lowlevel_groups is 4 where this model has 2"),
        ({"backbone": "linear"}, "backbone is residual_mlp where this model has linear"),
    ],
)
def test_start_from_another_kind_of_model(saved, changed, message):
    with pytest.raises(UserError, match=message):
        tiny(**changed).start_from(saved[1])


def test_start_from_an_incomplete_file(saved):
    change_tensors(saved[1], lambda state: state.pop("token_head.bias"))
    with pytest.raises(UserError, match=r"lacks the tensor token_head\.bias"):
        tiny().start_from(saved[1])
