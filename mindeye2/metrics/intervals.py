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
    weights = generator.multinomial(len(values), np.full(len(values), 1 / len(values)), size=resamples)
    low, high = np.quantile(weights @ values / len(values), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def normal_interval(values: Float[Array, "n"]) -> tuple[float, float]:
    """mean ± 1.96·s/√n with the population standard deviation s: the original's interval over repetitions."""
    values = np.asarray(values, dtype=np.float64)
    half = NORMAL_QUANTILE * values.std() / len(values) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)
