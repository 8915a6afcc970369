"""Judging networks: torchvision's layers and weights from local files."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from mindeye2.errors import UserError
from mindeye2.frozen.clip import Clip
from mindeye2.metrics.features import JUDGES, MEAN, STD, clip_features, layer_features, load_judge
from mindeye2.metrics.pictures import METRICS, judged
from mindeye2.metrics.resizing import resize

DEMO_WEIGHTS = Path(__file__).parents[3] / "mindeye2" / "demo" / "weights"
ALEXNET, INCEPTION, EFFICIENTNET, SWAV = JUDGES


@pytest.fixture(scope="module")
def swav(tmp_path_factory):
    """A file in the layout of the released SwAV: prefixed names, no classifier, a projection head."""
    torch.manual_seed(0)
    network = models.resnet50()
    tensors = {f"module.{name}": value for name, value in network.state_dict().items() if not name.startswith("fc.")}
    folder = tmp_path_factory.mktemp("swav")
    torch.save({**tensors, "module.projection_head.0.weight": torch.zeros(2, 2)}, folder / "swav_800ep.pth.tar")
    return folder, network.eval()


def test_features_are_the_named_layer_of_normalised_pictures(swav):
    folder, network = swav
    pictures = torch.rand(3, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    judge = load_judge(folder, "swav")
    with torch.inference_mode():
        (found,) = layer_features(judge, ["avgpool"], pictures, px=64, batch_size=2)
        mean, std = (torch.tensor(value).view(3, 1, 1) for value in (MEAN, STD))
        normal = (torch.nn.functional.interpolate(pictures, size=(64, 64), mode="bilinear") - mean) / std
        body = torch.nn.Sequential(*list(network.children())[:-1])
        expected = body(normal).flatten(1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


@pytest.fixture(scope="module")
def clip():
    return Clip.load(DEMO_WEIGHTS / "clip")


@pytest.mark.parametrize("antialias", [True, False])
def test_pictures_are_resized_with_anti_aliasing_or_without(swav, clip, antialias):
    pictures = torch.rand(3, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    judge, px = load_judge(swav[0], "swav"), clip.image_px
    with torch.inference_mode():
        small = resize(pictures, px, antialias=antialias)
        (found,) = layer_features(judge, ["avgpool"], pictures, px=px, batch_size=2, antialias=antialias)
        (expected,) = layer_features(judge, ["avgpool"], small, px=px, batch_size=3)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
        found = clip_features(clip, pictures, batch_size=2, antialias=antialias)
        torch.testing.assert_close(found, clip.embed_images(small), atol=1e-5, rtol=0)
        other = clip_features(clip, pictures, batch_size=2, antialias=not antialias)
        assert (found - other).abs().max() > 1e-2


def test_distances_and_identifications(swav):
    judge = load_judge(swav[0], "swav")
    pictures = torch.rand(3, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        values = judged(SWAV, judge, pictures, {"refined": pictures}, batch_size=3)
    assert values["swav"]["refined"].abs().max() < 1e-5


@pytest.mark.parametrize("judge", [ALEXNET, EFFICIENTNET])
def test_every_layer_exists(judge, tmp_path):
    torch.manual_seed(0)
    network = getattr(models, {"alexnet": "alexnet", "efficientnet": "efficientnet_b1"}[judge.network])()
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    loaded = load_judge(tmp_path, judge.network)
    with torch.inference_mode():
        found = layer_features(loaded, list(judge.layers.values()), torch.rand(1, 3, 32, 32), px=96, batch_size=1)
    assert [len(part) for part in found] == [1] * len(judge.layers)
    assert all(metric in METRICS for metric in judge.layers)


def test_damaged_or_foreign_weights_are_named(tmp_path, swav):
    (tmp_path / "alexnet.pth").write_bytes(b"\x80\x02")
    with pytest.raises(UserError, match=r"alexnet\.pth: cannot be read"):
        load_judge(tmp_path, "alexnet")
    with pytest.raises(UserError, match=r"swav_800ep\.pth\.tar: lacks"):
        load_judge(swav[0], "efficientnet")
    with pytest.raises(UserError, match="no such file"):
        load_judge(tmp_path / "nothing", "alexnet")
