"""95 % confidence intervals of a mean."""

import numpy as np
from jaxtyping import Float

from mindeye2.metrics.arrays import Array

LEVEL = 0.95
NORMAL_QUANTILE = 1.959963984540054
"""Two-sided 95 % point of the normal distribution."""


def bootstrap_interval(
    values: Float[Array, "n"], *, resamples: int, generator: np.random.Generator
) -> tuple[float, float]:
    """Percentile bootstrap over the items: the middle 95 % of the means of ``resamples`` draws with replacement."""
    values = np.asarray(values, dtype=np.float64)
    return _middle(_draws(len(values), resamples, generator) @ values / len(values))


def bootstrap_ratio_interval(
    values: Float[Array, "n"], of: Float[Array, "n"], *, resamples: int, generator: np.random.Generator
) -> tuple[float, float]:
    """The same of mean(values) / mean(of), both drawn with the same items; draws whose ``of`` are all 0 are left out.

    One draw must not be.
    """
    drawn = _draws(len(values), resamples, generator)
    over, under = drawn @ np.asarray(values, dtype=np.float64), drawn @ np.asarray(of, dtype=np.float64)
    return _middle(over[under != 0] / under[under != 0])


def _draws(number: int, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """How often each item comes in each draw with replacement: (resamples, number)."""
    return generator.multinomial(number, np.full(number, 1 / number), size=resamples)


def _middle(means: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def normal_interval(values: Float[Array, "n"]) -> tuple[float, float]:
    """mean ± 1.96·s/√n with the population standard deviation s: the original's interval over repetitions."""
    values = np.asarray(values, dtype=np.float64)
    half = NORMAL_QUANTILE * values.std() / len(values) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)
