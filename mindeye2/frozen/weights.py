"""Weights folders of the frozen networks: reading them strictly, with errors that name the file and the remedy.

A network's folder holds ``config.json`` and safetensors files in its library's standard layout, in any
floating-point precision; tensors become float32 on the CPU.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mindeye2.errors import UserError

Network = TypeVar("Network", bound=nn.Module)

# open_clip's comes first: in a repository for two libraries, model.safetensors holds the image half for the other one.
_NAMES = ("open_clip_model", "model", "diffusion_pytorch_model")
_PLACE = "point paths.weights at a folder that holds the frozen networks"


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; {_PLACE}") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}); fetch the file again") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a JSON {type(content).__name__}, not an object; fetch the file again")
    return content


def tensor_files(folder: Path) -> list[Path]:
    """The safetensors files of one network: a single one, or the shards that its index lists."""
    for name in _NAMES:
        single, index = folder / f"{name}.safetensors", folder / f"{name}.safetensors.index.json"
        if single.is_file():
            return [single]
        if index.is_file():
            return [folder / shard for shard in sorted(set(read_json(index)["weight_map"].values()))]
    raise UserError(f"{folder}/model.safetensors: no such file; {_PLACE}")


def read_tensors(files: Iterable[Path], dtype: torch.dtype | None = torch.float32) -> dict[str, Tensor]:
    """All tensors of the files, floating-point ones as ``dtype`` (None: as stored)."""
    tensors: dict[str, Tensor] = {}
    for path in files:
        try:
            content = load_file(path)
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; {_PLACE}") from None
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: damaged or cut short ({error}); fetch the file again") from None
        tensors.update(content)
    return {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def fill(network: Network, tensors: dict[str, Tensor], origin: Path, *, may_lack: str = "\0") -> Network:
    """Put ``tensors`` into ``network`` and freeze it.

    Every name and shape must match, except that names starting with ``may_lack`` may be missing.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for problem, names in (
        ("lacks", [name for name in wanted if name not in given and not name.startswith(may_lack)]),
        ("has an unknown", [name for name in given if name not in wanted]),
        ("has another shape of", [name for name in given if name in wanted and given[name] != wanted[name]]),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UserError(
                f"{origin}: {problem} {names[0]}{more}, so it is not the network that its config.json describes; "
                "take both files from one source"
            )
    network.load_state_dict(tensors, strict=False, assign=True)
    return network.requires_grad_(False).eval()


def load_tokenizer(kind: type, folder: Path, *, needed: str, size: int) -> Any:
    """The tokeniser of a folder, by transformers' own loader; UserError where it has not ``size`` tokens.

    ``needed`` is the file without which there is none: the loader makes up an empty one where others are missing.
    """
    read_json(folder / needed)
    try:
        tokenizer = kind.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder}: cannot be read as {kind.__name__} ({reason}); fetch the folder again") from None
    if len(tokenizer) != size:
        raise UserError(
            f"{folder}: its tokeniser knows {len(tokenizer)} tokens, but the network that reads them {size}; "
            "take both from one source"
        )
    return tokenizer


def build(make: Callable[[], Network], config: Path) -> Network:
    """Call ``make``, which constructs a network from ``config``; what it cannot construct is a user error."""
    try:
        return make()
    except (TypeError, ValueError, LookupError, AttributeError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{config}: describes no network of this kind ({reason}); fetch the file again") from None
