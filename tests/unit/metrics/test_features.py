"""Judging networks: torchvision's layers and weights from local files."""

from pathlib import Path

import pytest
import torch
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


def test_layers_and_sides_are_the_papers():
    found = {metric: (judge.network, judge.px, layer) for judge in JUDGES for metric, layer in judge.layers.items()}
    assert found == {
        "alexnet2": ("alexnet", 256, "features.4"),
        "alexnet5": ("alexnet", 256, "features.11"),
        "inception": ("inception", 342, "avgpool"),
        "efficientnet": ("efficientnet", 255, "avgpool"),
        "swav": ("swav", 224, "avgpool"),
    }
    assert all(metric in METRICS for metric in found)


BUILD = {
    "alexnet": models.alexnet,
    "inception": lambda: models.inception_v3(transform_input=True, init_weights=False),
    "efficientnet": models.efficientnet_b1,
}


@pytest.mark.parametrize("judge", [ALEXNET, INCEPTION, EFFICIENTNET])
def test_features_are_what_comes_out_of_the_named_layer(judge, tmp_path):
    """From a file of torchvision's own, as its cache holds it, beside others."""
    torch.manual_seed(0)
    network = BUILD[judge.network]().eval()
    torch.save(network.state_dict(), tmp_path / f"{judge.network}-0123abcd.pth")
    (tmp_path / "another.pth").write_bytes(b"not looked at")
    seen = {}
    for layer in judge.layers.values():
        network.get_submodule(layer).register_forward_hook(
            lambda module, given, output, layer=layer: seen.update({layer: output.clone()})
        )
    pictures = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (MEAN, STD))
    loaded = load_judge(tmp_path / f"{judge.network}-0123abcd.pth", judge.network)
    with torch.inference_mode():
        found = layer_features(loaded, list(judge.layers.values()), pictures, px=96, batch_size=1)
        network((torch.nn.functional.interpolate(pictures, size=(96, 96), mode="bilinear") - mean) / std)
    for features, expected in zip(found, seen.values(), strict=True):
        scale = expected.abs().max()
        torch.testing.assert_close(features / scale, expected.flatten(1) / scale, atol=1e-4, rtol=0)


def test_damaged_or_foreign_weights_are_named(tmp_path, swav):
    (tmp_path / "alexnet.pth").write_bytes(b"\x80\x02")
    with pytest.raises(UserError, match=r"alexnet\.pth: damaged"):
        load_judge(tmp_path, "alexnet")
    with pytest.raises(UserError, match=r"swav_800ep\.pth\.tar: lacks"):
        load_judge(swav[0], "efficientnet")
    with pytest.raises(UserError, match="no such file"):
        load_judge(tmp_path / "nothing", "alexnet")
