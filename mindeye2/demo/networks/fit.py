"""The training loop that all tiny networks share: AdamW, warm-up and cosine, clipping, averaged weights."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mindeye2.demo.networks.scenes import Scenes
from mindeye2.progress import Progress
from mindeye2.seeds import stream_seed
from mindeye2.train.recorded import recorded

_BETAS = (0.9, 0.99)
_WARM_UP = 0.03


@dataclass(frozen=True)
class Recipe:
    """How long and how fast one network learns."""

    steps: int
    batch_size: int
    lr: float
    weight_decay: float = 0.01
    average: float = 0.0
    """Decay of the running average of the weights that is kept in their place; 0 keeps the last weights."""
    graphed: bool = True
    """Replay the whole step as one CUDA graph: these networks are so small that launching dominates."""


@dataclass(frozen=True)
class Run:
    """Where and how the networks are made. ``share`` of each recipe's steps are taken; less than 1 is a rehearsal."""

    out: Path
    scratch: Path
    """What is of no use once the networks are made: rendered pictures, and checkpoints of unfinished trainings."""
    seed: int
    device: torch.device
    scenes: Scenes
    share: float = 1.0

    def generator(self, *names: str) -> torch.Generator:
        """Random numbers of one purpose, on the device that trains."""
        return torch.Generator(self.device).manual_seed(stream_seed(self.seed, "networks", *names))

    def seed_init(self, name: str) -> None:
        """Weights are initialised from the global generator; settle it per network."""
        torch.manual_seed(stream_seed(self.seed, "networks", name, "init"))

    def pictures(self) -> Tensor:
        """All training pictures on the device: uint8 (N, 3, 64, 64)."""
        return torch.from_numpy(self.scenes.pictures).to(self.device).permute(0, 3, 1, 2).contiguous()

    def wordings(self) -> tuple[list[str], Tensor]:
        """Distinct captions, and on the device the positions of each picture's five: int64 (N, 5)."""
        lines, positions = self.scenes.lines()
        return lines, torch.from_numpy(positions).to(self.device)

    def steps(self, whole: int) -> int:
        return max(2, round(whole * self.share))


def as_images(pictures: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1]."""
    return pictures.float() / 255


def save_half(network: nn.Module, path: Path) -> None:
    """Weights in float16, in the layout that transformers writes."""
    tensors = {name: tensor.detach().half().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, path, metadata={"format": "pt"})


def draw_rows(count: int, batch_size: int, generator: torch.Generator) -> Tensor:
    """Row numbers of one batch, with replacement."""
    return torch.randint(count, (batch_size,), generator=generator, device=generator.device)


def in_batches(count: int, size: int = 1000) -> Iterator[slice]:
    return (slice(first, first + size) for first in range(0, count, size))


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Linear warm-up over 3 % of the steps, then a cosine to a hundredth."""
    warm_up = max(1, round(_WARM_UP * steps))
    if step < warm_up:
        return recipe.lr * (step + 1) / warm_up
    done = torch.tensor((step - warm_up) / max(1, steps - warm_up))
    return recipe.lr * (0.01 + 0.99 * 0.5 * (1 + torch.cos(torch.pi * done).item()))


def fit(
    label: str,
    networks: dict[str, nn.Module],
    loss: Callable[[], dict[str, Tensor]],
    recipe: Recipe,
    run: Run,
    generator: torch.Generator,
) -> dict[str, float | int]:
    """Train ``networks`` in place on ``loss()["loss"]``, which draws its own batch; returns steps and last losses.

    ``generator`` is what ``loss`` draws from, on the device; a CUDA graph has to know it.
    """
    parameters = [weight for network in networks.values() for weight in network.parameters() if weight.requires_grad]
    averages = [weight.detach().clone() for weight in parameters] if recipe.average else []
    on_gpu = run.device.type == "cuda"
    rate = torch.tensor(recipe.lr, device=run.device) if on_gpu else recipe.lr
    optimizer = torch.optim.AdamW(
        parameters, lr=rate, betas=_BETAS, weight_decay=recipe.weight_decay, capturable=on_gpu, foreach=True
    )
    decay = torch.zeros((), device=run.device)

    def step() -> dict[str, Tensor]:
        with torch.autocast("cuda", torch.bfloat16, enabled=on_gpu, cache_enabled=False):
            values = loss()
        values["loss"].backward()
        nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        for average, weight in zip(averages, parameters, strict=False):
            average.lerp_(weight.detach(), 1 - decay)
        return {name: value.detach() for name, value in values.items()}

    advance = recorded(step, {}, parameters=parameters, generator=generator) if on_gpu and recipe.graphed else step
    steps = run.steps(recipe.steps)
    progress = Progress(label, steps)
    values: dict[str, Tensor] = {}
    for index in range(steps):
        # A young average forgets faster, so that it does not remember the random start.
        decay.fill_(min(recipe.average, (1 + index) / (10 + index)))
        for group in optimizer.param_groups:
            if on_gpu:
                group["lr"].fill_(learning_rate(recipe, index, steps))
            else:
                group["lr"] = learning_rate(recipe, index, steps)
        values = advance()
        if index % 100 == 99 or index == steps - 1:
            progress.advance(index + 1 - progress.done, **{name: float(value) for name, value in values.items()})
    progress.close()
    with torch.no_grad():
        for average, weight in zip(averages, parameters, strict=False):
            weight.copy_(average)
    return {"steps": steps, **{name: round(float(value), 5) for name, value in values.items()}}
