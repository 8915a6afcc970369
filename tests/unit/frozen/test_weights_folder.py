"""Reading a frozen network's folder: strict, and every damage is one line that names the file."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from mindeye2.errors import UserError
from mindeye2.frozen.captioner import Captioner
from mindeye2.frozen.clip import Clip
from mindeye2.frozen.convnext import ConvNeXtTeacher
from mindeye2.frozen.sdxl import load_pipeline
from mindeye2.frozen.unclip import load_unet
from mindeye2.frozen.vae import Vae
from mindeye2.frozen.weights import read_tensors, tensor_files

LOADERS = {
    "clip": Clip.load,
    "vae": Vae.load,
    "convnext": ConvNeXtTeacher.load,
    "unclip": load_unet,
    "captioner": Captioner.load,
}


def refused(load, *arguments):
    """The one line that a person gets to read."""
    with pytest.raises(UserError) as caught:
        load(*arguments)
    line = str(caught.value)
    assert "\n" not in line
    return line


def change(path, **settings):
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


@pytest.mark.parametrize("name", LOADERS)
def test_missing_folder(name, tmp_path):
    line = refused(LOADERS[name], tmp_path / name)
    assert str(tmp_path / name) in line
    assert "paths.weights" in line


@pytest.mark.parametrize("name", LOADERS)
def test_truncated_weights(name, copied):
    folder = copied(name)
    path = tensor_files(folder)[0]
    path.write_bytes(path.read_bytes()[:5000])
    assert str(path) in refused(LOADERS[name], folder)


@pytest.mark.parametrize("name", LOADERS)
def test_lacking_tensor(name, copied):
    folder = copied(name)
    path = tensor_files(folder)[0]
    tensors = load_file(path)
    lost = sorted(tensors)[-1]
    del tensors[lost]
    save_file(tensors, path)
    line = refused(LOADERS[name], folder)
    assert str(path) in line
    assert lost in line


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("vae", {"block_out_channels": [32, 64, 128]}),
        ("convnext", {"widths": [24, 48, 64]}),
        ("unclip", {"cross_attention_dim": 64}),
        ("captioner", {"hidden_size": 64}),
    ],
)
def test_other_architecture(name, settings, copied):
    folder = copied(name)
    change(folder / "config.json", **settings)
    line = refused(LOADERS[name], folder)
    assert str(tensor_files(folder)[0]) in line
    assert "config.json" in line


def test_impossible_architecture(copied):
    folder = copied("convnext")
    change(folder / "config.json", depths="three")
    assert str(folder / "config.json") in refused(ConvNeXtTeacher.load, folder)


def test_config_that_is_no_json(copied):
    folder = copied("vae")
    (folder / "config.json").write_text("{")
    assert "not valid JSON" in refused(Vae.load, folder)


def test_weights_may_come_in_shards(copied):
    folder = copied("vae")
    single = tensor_files(folder)[0]
    tensors = load_file(single)
    names = sorted(tensors)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for part, inside in parts.items():
        save_file({name: tensors[name] for name in inside}, folder / part)
    index = {"weight_map": {name: part for part, inside in parts.items() for name in inside}}
    (folder / f"{single.name}.index.json").write_text(json.dumps(index))
    whole = Vae.load(folder).state_dict()
    single.unlink()
    sharded = Vae.load(folder).state_dict()
    assert all(torch.equal(whole[name], sharded[name]) for name in whole)
    (folder / "b.safetensors").unlink()
    assert str(folder / "b.safetensors") in refused(Vae.load, folder)


def test_half_precision_becomes_float32_unless_asked(weights):
    files = tensor_files(weights / "unclip")
    assert {tensor.dtype for tensor in read_tensors(files).values()} == {torch.float32}
    assert next(load_unet(weights / "unclip").parameters()).dtype == torch.float32
    assert next(load_unet(weights / "unclip", dtype=None).parameters()).dtype == torch.float16


@pytest.mark.parametrize("name", LOADERS)
def test_frozen(name, weights):
    network = LOADERS[name](weights / name)
    assert not network.training
    assert not any(weight.requires_grad for weight in network.parameters())


@pytest.mark.parametrize(
    "part", ["unet/config.json", "text_encoder/model.safetensors", "tokenizer_2/tokenizer_config.json"]
)
def test_pipeline_with_a_missing_part(part, copied, weights):
    folder = copied("sdxl")
    (folder / part).unlink()
    assert str(folder / part).rsplit("/", 1)[0] in refused(load_pipeline, folder, weights / "vae")


def test_pipeline_with_a_damaged_text_tower(copied, weights):
    folder = copied("sdxl")
    path = folder / "text_encoder_2/model.safetensors"
    tensors = load_file(path)
    lost = next(name for name in tensors if name.endswith("fc1.weight"))
    del tensors[lost]
    save_file(tensors, path, metadata={"format": "pt"})
    assert lost in refused(load_pipeline, folder, weights / "vae")
    path.write_bytes(path.read_bytes()[:5000])
    assert str(path) in refused(load_pipeline, folder, weights / "vae")


def test_converter_of_another_captioner(copied):
    folder = copied("captioner")
    path = folder / "converter.safetensors"
    tensors = load_file(path)
    tensors["linear2.weight"], tensors["linear2.bias"] = torch.zeros(64, 128), torch.zeros(64)
    save_file(tensors, path)
    line = refused(Captioner.load, folder)
    assert str(path) in line
    assert "width 64" in line
