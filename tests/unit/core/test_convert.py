"""Published pickles of tiny networks, in the released layouts, become folders that the loaders read."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mindeye2.convert import CONVERSIONS, unclip
from mindeye2.errors import UserError
from mindeye2.frozen.captioner import Converter
from mindeye2.frozen.convnext import ConvNeXtTeacher
from mindeye2.frozen.stability import UNET_PREFIX, VAE_PREFIX, unet_names, vae_names
from mindeye2.frozen.unclip import load_unet
from mindeye2.frozen.vae import Vae

DEMO = Path("mindeye2/demo/weights")


def released(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("names", ["old", "new"])
def test_the_autoencoder_with_attention_under_either_name(names, tmp_path):
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    network = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(32, 64),
        layers_per_block=2,
        latent_channels=4,
    ).eval()
    tensors = network.state_dict()
    if names == "old":
        for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
            tensors = {name.replace(f".{new}.", f".{old}."): value for name, value in tensors.items()}
        assert "encoder.mid_block.attentions.0.query.weight" in tensors
    CONVERSIONS["lowlevel_vae"](released(tensors, tmp_path / "vae.pth"), tmp_path / "out")
    vae, pictures = Vae.load(tmp_path / "out"), torch.rand(2, 3, 16, 16)
    assert vae.scaling_factor == 0.18215
    wanted = network.encode(2 * pictures - 1).latent_dist.mode() * 0.18215
    torch.testing.assert_close(vae.encode(pictures), wanted)


def test_the_teacher_out_of_a_full_checkpoint(tmp_path):
    teacher = ConvNeXtTeacher.load(DEMO / "convnext")
    model = {f"module.{name}": value for name, value in teacher.state_dict().items()}
    model |= {"module.projector.0.weight": torch.zeros(3, 3), "module.classifier.bias": torch.zeros(7)}
    content = {"epoch": 1, "model": model, "optimizer": {"state": {0: torch.zeros(9)}}}
    CONVERSIONS["convnext"](released(content, tmp_path / "full.pth"), tmp_path / "out")
    pictures = torch.rand(2, 3, 64, 64)
    assert torch.equal(ConvNeXtTeacher.load(tmp_path / "out").features(pictures), teacher.features(pictures))


def test_the_caption_converter(tmp_path):
    tensors = Converter(tokens=5, clip_dim=6, features=7, feature_dim=8).state_dict()
    path = released({"model_state_dict": tensors, "epoch": 8}, tmp_path / "bigG_to_L.pth")
    CONVERSIONS["caption_converter"](path, tmp_path / "out")
    found = load_file(tmp_path / "out/converter.safetensors")
    assert found.keys() == tensors.keys() and all(torch.equal(found[name], tensors[name]) for name in found)


def test_the_unclip_network_and_its_autoencoder(tmp_path):
    from diffusers import AutoencoderKL, UNet2DConditionModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=(1, 2),
        use_linear_projection=True,
        norm_num_groups=4,
        cross_attention_dim=12,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=16,
    )
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4)
    content, configs = {}, {}
    for name, network, prefix, names in (
        ("unet", unet, UNET_PREFIX, unet_names),
        ("vae", vae, VAE_PREFIX, vae_names),
    ):
        theirs = names(network.state_dict(), network.config)
        content |= {prefix + theirs[inside]: value for inside, value in network.state_dict().items()}
        network.save_config(tmp_path / name)
        configs[f"{name}_config"] = tmp_path / name / "config.json"
    path = released({"state_dict": content}, tmp_path / "unclip6.ckpt")
    unclip(path, tmp_path / "drafts/unclip", **configs)
    assert sorted(folder.name for folder in (tmp_path / "drafts").iterdir()) == ["unclip", "vae"]
    assert load_unet(tmp_path / "drafts/unclip").config.cross_attention_dim == 12
    pictures = torch.rand(1, 3, 16, 16)
    wanted = vae.encode(2 * pictures - 1).latent_dist.mode() * vae.config.scaling_factor
    torch.testing.assert_close(Vae.load(tmp_path / "drafts/vae").encode(pictures), wanted)
    # Without these sizes, it is not the released network.
    with pytest.raises(UserError, match=r"unclip6\.ckpt: "):
        CONVERSIONS["unclip"](path, tmp_path / "other/unclip")
    assert not (tmp_path / "other/unclip").exists() and not (tmp_path / "other/vae").exists()


@pytest.mark.parametrize("name", ["lowlevel_vae", "convnext", "caption_converter"])
@pytest.mark.parametrize("content", [{"weights": [1, 2]}, {"model": {"a": torch.zeros(1)}}, [torch.zeros(1)]])
def test_another_file_under_the_right_name(name, content, tmp_path):
    with pytest.raises(UserError, match=r"file\.pth: (holds no|lacks) [^\n]*; fetch it again$"):
        CONVERSIONS[name](released(content, tmp_path / "file.pth"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_pickle_that_would_run_code(tmp_path):
    with pytest.raises(UserError, match="would run"):
        CONVERSIONS["convnext"](released({"model": Path("x")}, tmp_path / "file.pth"), tmp_path / "out")
