"""From noiseless responses to single-trial betas: noise of known size, drift between sessions, a few bad trials."""

from dataclasses import dataclass

import numpy as np

from mindeye2.demo.voxels import Brain, smoothed

VERSIONS = {"betas_fithrf_GLMdenoise_RR": 1.0, "betas_fithrf": 1.15, "betas_assumehrf": 1.35}
"""GLMsingle version -> standard deviation of its noise, relative to the best."""

_SIGNAL_LIKE, _SMOOTH, _WHITE = 0.6, 0.2, 0.2
"""Shares of the noise's variance: fluctuations along the signal's own patterns, which no averaging over
voxels removes; smooth over neighbours and autocorrelated over trials; independent."""
_AUTOCORRELATION = 0.4
_OUTLIER_RATE, _OUTLIER_FACTOR = 0.005, 4.0
_GAIN_SPREAD, _OFFSET_SPREAD = 0.12, 0.5


@dataclass(frozen=True)
class Session:
    """What one session does to each voxel: betas = gain * (signal + noise) + offset."""

    noise: np.ndarray
    """(trials, voxels) in percent signal change, version b3."""
    gain: np.ndarray
    offset: np.ndarray
    outliers: np.ndarray
    """(trials,) boolean: trials spoilt by motion, their noise four times as large."""


def draw_session(brain: Brain, own_images: np.ndarray, *, trials: int, generator: np.random.Generator) -> Session:
    """Noise and drift of one session. Away from outliers each voxel's noise has standard deviation ``brain.noise_sd``.

    ``own_images``: 0-based rows of ``brain.signal`` over which the signal's own patterns are taken.
    """
    where = np.argwhere(brain.anatomy.brain)
    signal = brain.signal[own_images] - brain.signal[own_images].mean(axis=0)
    deviation = signal.std(axis=0)
    silent = deviation < 1e-9
    patterns = signal / np.where(silent, 1.0, deviation) / np.sqrt(len(signal))

    along = generator.normal(size=(trials, len(signal))) @ patterns
    smooth = smoothed(generator.normal(size=(len(where), trials)), where, width=2.0).T
    for trial in range(1, trials):
        smooth[trial] = _AUTOCORRELATION * smooth[trial - 1] + np.sqrt(1 - _AUTOCORRELATION**2) * smooth[trial]
    white = generator.normal(size=smooth.shape)
    # Voxels without a signal have no pattern of their own: theirs is independent noise instead.
    along[:, silent] = generator.normal(size=(trials, int(silent.sum())))
    noise = np.sqrt(_SIGNAL_LIKE) * along + np.sqrt(_SMOOTH) * smooth + np.sqrt(_WHITE) * white
    outliers = generator.uniform(size=trials) < _OUTLIER_RATE
    noise *= np.where(outliers, _OUTLIER_FACTOR, 1.0)[:, None]

    voxels = len(where)
    return Session(
        noise=noise * brain.noise_sd,
        gain=np.exp(generator.normal(0.0, _GAIN_SPREAD, voxels)),
        offset=generator.normal(0.0, _OFFSET_SPREAD, voxels) * brain.noise_sd,
        outliers=outliers,
    )
