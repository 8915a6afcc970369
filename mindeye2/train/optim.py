"""AdamW with its parameter groups, and schedules as functions of the step, which leave no state to resume."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

BETA2 = 0.999
ADAM_EPS = 1e-8
START_DIVISOR = 25.0
END_DIVISOR = 1e3
HIGH_BETA1, LOW_BETA1 = 0.95, 0.85
STEADY_BETA1 = 0.9
WARMUP_EPOCHS = 2
LONGEST_WARMUP = 2 / 3
WARMUP_START = 1e-6


def decayed(name: str, parameter: Tensor, *, legacy: bool = False) -> bool:
    """Whether weight decay applies: to matrices and kernels, not to biases, norm gains or anything 1-D.

    ``legacy`` is the original's rule over released names: everything in the ridges, elsewhere whatever does not
    spell "bias". Norm gains are decayed there, and so are ridge biases.
    """
    if legacy:
        return name.startswith("ridge.") or "bias" not in name
    return parameter.ndim > 1 and "bias" not in name


def parameter_groups(
    named: Iterable[tuple[str, Tensor]], *, weight_decay: float, legacy: bool = False
) -> list[dict[str, Any]]:
    """Two groups, with and without weight decay, of the trainable parameters; ``names`` runs parallel to ``params``."""
    groups = [{"params": [], "names": [], "weight_decay": rate} for rate in (weight_decay, 0.0)]
    for name, parameter in named:
        if parameter.requires_grad:
            group = groups[0 if decayed(name, parameter, legacy=legacy) else 1]
            group["params"].append(parameter)
            group["names"].append(name)
    return [group for group in groups if group["params"]]


class Rate(NamedTuple):
    lr: float
    beta1: float


class AdamW:
    """AdamW (Loshchilov and Hutter 2019) with torch's fused kernel, one call per group of parameters.

    ``torch.optim.AdamW(fused=True)`` takes the same steps to the bit (a test holds it), but its first step in a
    process imports torch's compiler: seconds, where a whole training of the miniature takes ten. All parameters
    must have a gradient at every step.
    """

    def __init__(self, groups: list[dict[str, Any]], *, eps: float = ADAM_EPS):
        self.groups, self.eps = groups, eps
        self.parameters: list[Tensor] = [each for group in groups for each in group["params"]]
        names = [name for group in groups for name in group["names"]]
        self._steps = torch.zeros((), device=self.parameters[0].device)
        self._means = {name: torch.zeros_like(each) for name, each in zip(names, self.parameters, strict=True)}
        self._squares = {name: torch.zeros_like(each) for name, each in zip(names, self.parameters, strict=True)}

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: Rate) -> None:
        """One update with this learning rate and β1."""
        self._steps += 1
        for group in self.groups:
            parameters, names = group["params"], group["names"]
            torch._fused_adamw_(
                parameters,
                [parameter.grad for parameter in parameters],
                [self._means[name] for name in names],
                [self._squares[name] for name in names],
                [],
                [self._steps] * len(parameters),
                lr=rate.lr,
                beta1=rate.beta1,
                beta2=BETA2,
                weight_decay=group["weight_decay"],
                eps=self.eps,
                amsgrad=False,
                maximize=False,
            )

    def state_dict(self) -> dict[str, Tensor]:
        """Number of steps, and both moments by the name of their parameter."""
        means = {f"mean/{name}": value for name, value in self._means.items()}
        return {"steps": self._steps} | means | {f"square/{name}": value for name, value in self._squares.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy a state of the same names and shapes."""
        for name, value in self.state_dict().items():
            value.copy_(state[name])


Schedule = Callable[[int], Rate]
ScheduleKind = Literal["cycle", "linear", "legacy_linear"]


def warmup_share(num_epochs: int) -> float:
    """Share of a run until the peak: two epochs, as in the original, but at most two thirds.

    From three epochs on this is the original's value; shorter runs, which it cannot do, keep a third to anneal.
    """
    return min(WARMUP_EPOCHS / num_epochs, LONGEST_WARMUP)


def one_cycle(step: int, total_steps: int, *, max_lr: float, warmup: float, cycle_beta1: bool = True) -> Rate:
    """OneCycle (Smith and Topin 2018) with cosine annealing, as in ``torch.optim.lr_scheduler.OneCycleLR``.

    From max_lr/25 up to ``max_lr`` at step warmup·total − 1, then down to max_lr/25/1000 at the last step.
    ``cycle_beta1`` moves Adam's β1 the other way, 0.95 → 0.85 → 0.95: what torch's class does unasked, and thus
    the original.
    """
    peak, last = max(warmup * total_steps - 1, 0.0), total_steps - 1
    start = max_lr / START_DIVISOR
    if step < peak:
        share, lrs, beta1s = step / peak, (start, max_lr), (HIGH_BETA1, LOW_BETA1)
    else:
        share = (step - peak) / (last - peak) if last > peak else 0.0
        lrs, beta1s = (max_lr, start / END_DIVISOR), (LOW_BETA1, HIGH_BETA1)
    return Rate(_cosine(*lrs, share), _cosine(*beta1s, share) if cycle_beta1 else STEADY_BETA1)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def linear_decay(step: int, total_steps: int, *, max_lr: float) -> Rate:
    """max_lr · (1 − step / total): from ``max_lr`` at the first step to max_lr / total at the last."""
    return Rate(max_lr * (1 - step / total_steps), STEADY_BETA1)


def legacy_linear(step: int, total_steps: int, *, max_lr: float) -> Rate:
    """max_lr · (1 + 2 · step / total) / 3: what the original's linear schedule does, a warm-up over the whole run."""
    return Rate(max_lr * (1 + 2 * step / total_steps) / 3, STEADY_BETA1)


def schedule(
    kind: ScheduleKind, *, max_lr: float, num_epochs: int, steps_per_epoch: int, cycle_beta1: bool = True
) -> Schedule:
    """A schedule over the whole run, as a function of the 0-based step; ``cycle_beta1`` is for ``cycle`` alone."""
    total = num_epochs * steps_per_epoch
    if kind == "cycle":
        warmup = warmup_share(num_epochs)
        return lambda step: one_cycle(step, total, max_lr=max_lr, warmup=warmup, cycle_beta1=cycle_beta1)
    linear = linear_decay if kind == "linear" else legacy_linear
    return lambda step: linear(step, total, max_lr=max_lr)


def warmed_up(step: int, total_steps: int, *, max_lr: float, warmup_steps: int, cosine: bool = False) -> Rate:
    """From 1e-6 of ``max_lr`` linearly up to it over ``warmup_steps``; then constant, or by a cosine to a hundredth."""
    if step < warmup_steps:
        return Rate(max_lr * (WARMUP_START + (1 - WARMUP_START) * step / warmup_steps), STEADY_BETA1)
    share = (step - warmup_steps) / max(1, total_steps - 1 - warmup_steps) if cosine else 0.0
    return Rate(_cosine(max_lr, max_lr / 100, share), STEADY_BETA1)
