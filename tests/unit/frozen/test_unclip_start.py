"""SDXL as the start of an unCLIP network: what is taken over, what is fresh."""

import json

import pytest
import torch
from diffusers import UNet2DConditionModel

from mindeye2.errors import UserError
from mindeye2.frozen.unclip import unclip_from_sdxl

CLIP_DIM, EACH, POOLED = 16, 4, 12


@pytest.fixture
def sdxl(tmp_path):
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(8, 16),
        layers_per_block=1,
        attention_head_dim=(1, 2),
        use_linear_projection=True,
        norm_num_groups=4,
        cross_attention_dim=20,
        addition_embed_type="text_time",
        addition_time_embed_dim=EACH,
        projection_class_embeddings_input_dim=POOLED + 6 * EACH,
    )
    unet.save_pretrained(tmp_path)
    return unet, tmp_path


def test_everything_but_the_text_is_taken_over(sdxl):
    theirs, folder = sdxl
    given = theirs.state_dict()
    torch.manual_seed(1)
    ours = unclip_from_sdxl(folder, clip_dim=CLIP_DIM)
    found = ours.state_dict()
    text = {name for name in found if ".attn2.to_k." in name or ".attn2.to_v." in name}
    assert text and all(found[name].shape[1] == CLIP_DIM and found[name].std() > 0 for name in text)
    first = "class_embedding.linear_1.weight"
    assert torch.equal(found[first], given["add_embedding.linear_1.weight"][:, : 4 * EACH])
    for name in found.keys() - text - {first}:
        assert torch.equal(found[name], given[name.replace("class_embedding.", "add_embedding.")]), name
    assert all(parameter.requires_grad for parameter in ours.parameters())
    latents, tokens, vector = torch.randn(2, 4, 8, 8), torch.randn(2, 5, CLIP_DIM), torch.randn(2, 4 * EACH)
    assert ours(latents, torch.tensor([3, 900]), tokens, class_labels=vector).sample.shape == latents.shape


def test_the_fresh_part_comes_from_the_global_generator(sdxl):
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(unclip_from_sdxl(sdxl[1], clip_dim=CLIP_DIM).mid_block.attentions[0].transformer_blocks[0])
    fresh = [block.attn2.to_k.weight for block in made]
    assert torch.equal(fresh[0], fresh[1]) and not torch.equal(fresh[0], fresh[2])


def test_another_network_is_named(sdxl):
    path = sdxl[1] / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "addition_embed_type": None}))
    with pytest.raises(UserError, match=r"config.json: addition_embed_type None is not SDXL's text_time; put an SDXL"):
        unclip_from_sdxl(sdxl[1], clip_dim=CLIP_DIM)
