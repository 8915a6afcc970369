"""Captions of pictures, by the vision encoder that the shipped captioner leaves out."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GitConfig, GitForCausalLM

from mindeye2.errors import UserError
from mindeye2.frozen.captioner import MAX_LENGTH, Captioner
from mindeye2.frozen.clip import MEAN, STD

VISION = "git.image_encoder."


@pytest.fixture
def whole(copied):
    """The shipped captioner with a random vision encoder, and the stock model of the same weights."""
    folder = copied("captioner")
    torch.manual_seed(0)
    stock = GitForCausalLM(GitConfig.from_dict(json.loads((folder / "config.json").read_text())))
    random = {name: 3 * value for name, value in stock.state_dict().items() if name.startswith(VISION)}
    tensors = {**load_file(folder / "model.safetensors"), **random}
    positions = {f"{VISION}vision_model.embeddings.position_ids": torch.arange(65)[None]}
    save_file(
        {name: value.contiguous() for name, value in {**tensors, **positions}.items()}, folder / "model.safetensors"
    )
    stock.load_state_dict({name: value.float() for name, value in tensors.items()}, strict=False)
    return folder, stock.eval()


def test_captions_of_pictures_are_the_stock_models(whole, drawn):
    folder, stock = whole
    pictures, _ = drawn
    captioner = Captioner.load(folder, vision=True)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    ids = stock.generate(pixel_values=(pictures - mean) / std, max_length=MAX_LENGTH, do_sample=False)
    expected = [text.strip() for text in captioner.tokenizer.batch_decode(ids, skip_special_tokens=True)]
    assert captioner.captions_of(pictures) == expected
    assert len(set(expected)) > 1


def test_the_vision_encoder_is_read_where_it_is_asked_for(whole, weights):
    folder, _ = whole
    assert Captioner.load(folder).vision is None
    assert Captioner.load(weights / "captioner", vision=True).vision is None
    tensors = load_file(folder / "model.safetensors")
    lost = f"{VISION}vision_model.pre_layrnorm.weight"
    save_file({name: value for name, value in tensors.items() if name != lost}, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"model\.safetensors: lacks vision_model\.pre_layrnorm\.weight"):
        Captioner.load(folder, vision=True)
