"""Features of pictures by the networks that judge them: torchvision's, loaded from local files, and CLIP."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mindeye2.errors import UserError
from mindeye2.frozen.clip import Clip, config_file
from mindeye2.frozen.weights import fill, read_json, read_tensors, tensor_files
from mindeye2.metrics.resizing import resize
from mindeye2.pickles import read_pickle
from mindeye2.shapes import Images

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's."""

Features = Float[Tensor, "n features"]


@dataclass(frozen=True)
class Judge:
    """A network of the weights folder, the side of its pictures, and the layer behind each metric."""

    network: str
    px: int
    layers: dict[str, str]


JUDGES = (
    Judge("alexnet", 256, {"alexnet2": "features.4", "alexnet5": "features.11"}),
    Judge("inception", 342, {"inception": "avgpool"}),
    Judge("efficientnet", 255, {"efficientnet": "avgpool"}),
    Judge("swav", 224, {"swav": "avgpool"}),
)


def load_judge(place: Path, network: str) -> nn.Module:
    """A torchvision classifier with the weights of ``place``, in evaluation mode.

    That is torchvision's own file (``*.pth``), for swav the released ``*.pth.tar``, or a folder with one of them
    or with the same tensors as model.safetensors. UserError names a missing, damaged or foreign file.
    """
    from torchvision import models

    build = {
        "alexnet": models.alexnet,
        # Inputs come normalised like the others'; the network maps them back to its own [-1, 1].
        "inception": lambda: models.inception_v3(transform_input=True, init_weights=False),
        "efficientnet": models.efficientnet_b1,
        "swav": models.resnet50,
    }[network]
    origin, tensors = _read(place)
    if network == "swav":
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
        tensors = {name: value for name, value in tensors.items() if not name.startswith(("projection_", "prototypes"))}
    # SwAV has no classifier; the one that torchvision builds stays as it is, and no feature sees it.
    return fill(build(), tensors, origin, may_lack="fc." if network == "swav" else "\0")


def _read(place: Path) -> tuple[Path, dict[str, Tensor]]:
    pickles = [place] if place.is_file() else sorted([*place.glob("*.pth"), *place.glob("*.pth.tar")])
    if pickles:
        return pickles[0], read_pickle(pickles[0], remedy="put the released file there, or correct paths.weights")
    files = tensor_files(place)
    return files[0], read_tensors(files)


def load_clip(place: Path, network: str) -> Clip:
    """A CLIP that judges; OpenAI's are refused without the activation that they were trained with.

    Without it every layer still fits, and the numbers are others.
    """
    clip, config = Clip.load(place), config_file(place)
    if network.startswith("openai_clip") and not read_json(config)["model_cfg"].get("quick_gelu"):
        raise UserError(
            f"{config}: model_cfg lacks quick_gelu: true, which OpenAI's CLIP was trained with; take the file from "
            "the repository of its weights"
        )
    return clip


def layer_features(
    judge: nn.Module, layers: list[str], pictures: Images, *, px: int, batch_size: int, antialias: bool = False
) -> list[Features]:
    """Outputs of ``layers``, flattened, float32 on the CPU; pictures in [0, 1] are resized to ``px`` and normalised."""
    from torchvision.models.feature_extraction import create_feature_extractor

    extract = create_feature_extractor(judge, return_nodes=layers)
    device = next(judge.parameters()).device
    mean, std = (torch.tensor(value, device=device).view(1, 3, 1, 1) for value in (MEAN, STD))
    found: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    for batch in pictures.split(batch_size):
        outputs = extract((resize(batch.to(device), px, antialias=antialias) - mean) / std)
        for layer in layers:
            found[layer].append(outputs[layer].flatten(1).float().cpu())
    return [torch.cat(found[layer]) for layer in layers]


def clip_features(clip: Clip, pictures: Images, *, batch_size: int, antialias: bool = False) -> Features:
    """Projected image embeddings, float32 on the CPU; pictures in [0, 1] are resized as for the other judges."""
    device = next(clip.parameters()).device
    resized = (resize(batch.to(device), clip.image_px, antialias=antialias) for batch in pictures.split(batch_size))
    return torch.cat([clip.embed_images(batch).float().cpu() for batch in resized])
