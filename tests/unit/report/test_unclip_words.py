"""What the methods say of an unCLIP network that was trained for the run."""

from mindeye2.config import parse_config
from mindeye2.report.unclip import unclip_training

RECIPE = {"steps": 500, "batch_size": 8, "max_lr": 2e-4, "warmup_steps": 50, "precision": "bfloat16"}


def sentence(**unclip):
    return unclip_training(parse_config({"unclip": {**RECIPE, **unclip}, "reconstruct": {"unclip": "trained"}}))


def test_nothing_is_said_where_it_was_given():
    assert unclip_training(parse_config({})) == ""
    undecoded = {"reconstruct": {"unclip": "trained", "num_images": 0}}
    assert unclip_training(parse_config(undecoded)) == ""


def test_the_settings_are_told():
    assert sentence() == (
        " The unCLIP network was trained for this run, from Stable Diffusion XL, with new keys and values in its "
        "cross-attention, on the pictures of the data that are not tested on at 256 pixels: 500 steps of 8 pictures, "
        "AdamW with a learning rate of 0.0002 after 50 steps of warm-up, in bfloat16."
    )
    other = sentence(
        init="unclip", pictures="folder", lr_schedule="cosine", average=0.9, null_share=0.1, exact_share=0.4
    )
    assert "from a given one, on other pictures at 256" in other
    assert "warm-up and a cosine decay, in bfloat16, with a running average of the weights (0.9)." in other
    assert other.endswith(
        "The tokens of 10 % of the samples were noise. Those of 50 % were made inexact, as decoded ones are."
    )
