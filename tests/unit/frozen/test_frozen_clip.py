"""CLIP tokens and embeddings."""

from pathlib import Path

import pytest
import torch

from mindeye2.errors import UserError
from mindeye2.frozen.clip import Clip, check_published, resize


@pytest.fixture(scope="module")
def clip(weights):
    return Clip.load(weights / "clip")


def test_legacy_range_is_half_way_to_white(clip, drawn):
    images, _ = drawn
    assert torch.equal(clip.tokens(images, pixel_range="legacy01"), clip.tokens((images + 1) / 2, pixel_range="pm1"))
    assert not torch.allclose(clip.tokens(images, pixel_range="legacy01"), clip.tokens(images, pixel_range="pm1"))


def test_tokens_do_not_depend_on_the_batch(clip, drawn):
    images, _ = drawn
    together = clip.tokens(images, pixel_range="pm1")
    alone = torch.cat([clip.tokens(images[row : row + 1], pixel_range="pm1") for row in range(len(images))])
    assert together.shape == (4, 64, 128)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_pictures_find_their_captions(clip, drawn):
    images, captions = drawn
    seen, written = clip.embed_images(images), clip.embed_texts(captions)
    torch.testing.assert_close(seen.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(written.norm(dim=1), torch.ones(4))
    assert (seen @ written.T).argmax(dim=1).tolist() == [0, 1, 2, 3]


def test_long_text_is_cut(clip):
    words = " ".join(["cat"] * 100)
    assert torch.isfinite(clip.embed_texts([words])).all()


def test_resize():
    ramp = torch.linspace(0, 1, 9).expand(1, 3, 9, 9)
    assert resize(ramp, 9) is ramp
    # Aligned corners keep a linear ramp linear, and its ends, when it grows.
    torch.testing.assert_close(resize(ramp, 17)[0, 0, 0, 4:-4], torch.linspace(0, 1, 17)[4:-4])
    # Blurred before it shrinks: a checkerboard turns grey instead of staying black and white.
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2
    small = resize(board.float().expand(1, 3, 64, 64), 16)
    assert (small - 0.5).abs().max() < 0.2


def test_large_pictures_are_resized_to_the_network(clip, drawn):
    images, _ = drawn
    large = torch.nn.functional.interpolate(images, scale_factor=3, mode="bilinear")
    near = torch.nn.functional.cosine_similarity(clip.embed_images(large), clip.embed_images(images))
    assert near.min() > 0.9


def test_a_version_of_open_clip_that_decides_by_itself_is_refused(weights, monkeypatch):
    """Before it could be asked for tokens by name it gave them with the final norm or without."""
    monkeypatch.delattr("open_clip.transformer.VisionTransformer.forward_intermediates")
    with pytest.raises(UserError, match=r"open_clip_torch \d.*: cannot give tokens after the final norm by name"):
        Clip.load(weights / "clip")


def bigg_tokens(mean, deviation):
    noise = torch.randn(2, 256, 1664, generator=torch.Generator().manual_seed(0))
    return mean + deviation * noise


@pytest.mark.parametrize(("mean", "deviation"), [(0.160, 1.096), (0.21, 1.2), (0.11, 1.0)])
def test_tokens_of_the_published_network_are_taken(mean, deviation):
    check_published(bigg_tokens(mean, deviation), pixel_range="legacy01", origin=Path("clip"))


@pytest.mark.parametrize(
    ("mean", "deviation"), [(0.0, 1.0), (0.160, 2.5), (0.160, 0.5), (-0.16, 1.096), (float("nan"), 1)]
)
def test_tokens_of_another_distribution_are_refused(mean, deviation):
    tokens = bigg_tokens(mean, deviation)
    with pytest.raises(
        UserError, match=r"weights/clip: its tokens have mean .*ViT-bigG-14's .* about 0\.160 and 1\.096"
    ):
        check_published(tokens, pixel_range="legacy01", origin=Path("weights/clip"))
    check_published(tokens, pixel_range="pm1", origin=Path("weights/clip"))
    check_published(tokens[:, :64], pixel_range="legacy01", origin=Path("weights/clip"))
