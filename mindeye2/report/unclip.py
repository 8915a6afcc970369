"""What the methods say of an unCLIP network that a run trained itself."""

from mindeye2.config import Config
from mindeye2.settings import Unclip

_START = {
    "sdxl": "Stable Diffusion XL, with new keys and values in its cross-attention",
    "unclip": "a given one",
}


def unclip_training(settings: Config) -> str:
    """Sentences to stand behind others, or nothing where the network was given."""
    if not settings.trains_unclip:
        return ""
    unclip = settings.unclip
    pictures = "the pictures of the data that are not tested on" if unclip.pictures == "stimuli" else "other pictures"
    average = f", with a running average of the weights ({unclip.average:g})" if unclip.average else ""
    return (
        f" The unCLIP network was trained for this run, from {_START[unclip.init]}, on {pictures} at "
        f"{unclip.image_px} pixels: {unclip.steps} steps of {unclip.batch_size} pictures, AdamW with a learning rate "
        f"of {unclip.max_lr:g} after {unclip.warmup_steps} steps of warm-up"
        f"{' and a cosine decay' if unclip.lr_schedule == 'cosine' else ''}, in {unclip.precision}{average}."
        f"{_tokens(unclip)}"
    )


def _tokens(unclip: Unclip) -> str:
    null = f" The tokens of {100 * unclip.null_share:g} % of the samples were noise." if unclip.null_share else ""
    inexact = 1 - unclip.exact_share - unclip.null_share
    if inexact <= 0:
        return null
    return f"{null} Those of {100 * inexact:g} % were made inexact, as decoded ones are."
