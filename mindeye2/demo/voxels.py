"""What drives the simulated voxels: a description of each picture that all brains share, and each brain's own tuning.

Early visual areas respond to contrast energy and colour opponency inside a receptive field. Higher ones mix a
small number of semantic units, which are not linear in what is in the picture. The units are the same for
every subject, and so are the families that tuning is drawn from; the draws are each subject's own. So few
trials tell where a subject's voxels lie among the units, but reading pictures from units takes many
trials, of any subject: that is what pretraining on other subjects can find.
"""

from dataclasses import dataclass

import numpy as np

from mindeye2.demo.anatomy import Anatomy
from mindeye2.demo.world import BACKGROUNDS, COLOURS, KINDS, MAIN_PLACES, SIZES, Scene, placed, render
from mindeye2.seeds import numpy_generator

_PX = 64
_CELLS = 8
_SEMANTIC = {"V1": 0.05, "V2": 0.10, "V3": 0.20, "V4": 0.40, "higher": 0.85, "cortex": 0.5}
"""Share of the signal's variance that is semantic, by area."""
_FIELD = {"V1": 0.08, "V2": 0.11, "V3": 0.15, "V4": 0.20, "higher": 0.30, "cortex": 0.30}
"""Standard deviation of a receptive field as a share of the picture's side, by area."""
_UNITS, _PHASES = 24, 1.5
"""Semantic units, and how far their sines are shifted against each other."""
_LISTENS = 0.6
"""Share of the attributes that one semantic unit listens to."""
_DRIVE = (0.40, 0.25, 0.15, 0.12, 0.08)
"""What drives the units, as shares of variance: kind, colour, size and place, background, things beside."""
_SNR = {"V1": 0.5, "V2": 0.5, "V3": 0.5, "V4": 0.5, "higher": 1.0, "cortex": 0.2}
"""Noise-ceiling SNR by area, relative to each other; other tissue has none."""
_SNR_SPREAD = 0.4
_NOISE_SD = 1.8
_COMPRESSION = 0.7


@dataclass(frozen=True)
class Description:
    """What pictures are made of, as all brains share it; each column is standardised over the pictures."""

    local: np.ndarray
    """(images, channels, cells, cells): three colour opponents, four orientations of contrast energy."""
    semantic: np.ndarray
    """(images, units): folded sums of attributes: kind, colour, size, place, background, things beside."""


@dataclass(frozen=True)
class Brain:
    """One subject's voxels inside the brain, in C order of the volume; betas in percent signal change."""

    anatomy: Anatomy
    signal: np.ndarray
    """(images, voxels) noiseless betas."""
    noise_sd: np.ndarray
    """(voxels,) standard deviation of the noise of a single trial, version b3."""
    ncsnr: np.ndarray
    """(voxels,) standard deviation of the signal over the subject's images / ``noise_sd``."""


def describe(scenes: list[Scene], *, seed: int) -> Description:
    """Describe each scene; ``seed`` settles what the semantic units listen to."""
    blocks = [_standardised(np.stack(block)) for block in zip(*map(_attributes, scenes), strict=True)]
    shares = zip(blocks, _DRIVE, strict=True)
    attributes = np.concatenate([block * np.sqrt(share / block.shape[1]) for block, share in shares], axis=1)
    generator = numpy_generator(seed, "simulate", "units")
    size = (attributes.shape[1], _UNITS)
    listens = generator.normal(size=size) * (generator.uniform(size=size) < _LISTENS)
    driven = _standardised(attributes @ listens)
    # A sine folds what drives it, so a linear readout of one unit finds only part of what all of them tell.
    units = np.sin(driven + np.linspace(0.0, _PHASES, _UNITS))
    pictures = np.stack([render(scene, _PX) for scene in scenes]).astype(np.float32) / 255.0
    return Description(local=_local(pictures), semantic=_standardised(units))


def make_brain(
    subject: int, anatomy: Anatomy, description: Description, own_images: np.ndarray, *, median_ncsnr: float, seed: int
) -> Brain:
    """Draw one subject's tuning.

    ``own_images``: (images_per_subject,) 0-based rows over which the signal's variance is counted.
    ``median_ncsnr`` is exactly the median of ``ncsnr`` over nsdgeneral.
    """
    generator = numpy_generator(seed, "simulate", "tuning", subject)
    area = anatomy.area[anatomy.brain]
    where = np.argwhere(anatomy.brain)
    semantic_share = np.array([_SEMANTIC.get(name, 0.0) for name in area])
    early = _standardised(_early(area, description.local, generator), own_images)
    higher = _standardised(_higher(where, description.semantic, generator), own_images)
    signal = _standardised(np.sqrt(1 - semantic_share) * early + np.sqrt(semantic_share) * higher, own_images)

    inside = anatomy.nsdgeneral[anatomy.brain] == 1
    relative = np.array([_SNR.get(name, 0.0) for name in area]) * np.exp(generator.normal(0.0, _SNR_SPREAD, len(area)))
    ncsnr = relative / np.median(relative[inside]) * median_ncsnr
    noise_sd = _NOISE_SD * np.exp(generator.normal(0.0, 0.25, len(area)))
    baseline = np.where(area == "", 0.0, generator.normal(0.6, 0.5, len(area)))
    return Brain(anatomy, baseline + signal * ncsnr * noise_sd, noise_sd, ncsnr)


def _standardised(columns: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Mean 0 and standard deviation 1 over ``rows``; a column that never varies becomes 0."""
    deviation = columns[rows].std(axis=0)
    return (columns - columns[rows].mean(axis=0)) / np.where(deviation > 1e-6, deviation, np.inf)


def _attributes(scene: Scene) -> tuple[np.ndarray, ...]:
    """Kind, colour, layout and background of the main thing, and what stands beside it, as in ``_DRIVE``."""
    main, others = scene.main, {thing.kind for thing in scene.things[1:]}
    x, y, _, _ = placed(main)
    blocks = (
        [main.kind == kind for kind in KINDS],
        [main.colour == colour for colour in COLOURS],
        [*(main.size == size for size in SIZES[1:]), *(main.place == place for place in MAIN_PLACES), x, y],
        [scene.background == background for background in BACKGROUNDS],
        [*(kind in others for kind in KINDS), len(others)],
    )
    return tuple(np.array(block, dtype=np.float64) for block in blocks)


def _local(pictures: np.ndarray) -> np.ndarray:
    """Colour opponents and oriented contrast energy, averaged in each cell of a grid.

    ``pictures``: (images, px, px, 3) in [0, 1].
    """
    red, green, blue = np.moveaxis(pictures, 3, 0)
    luminance = 0.3 * red + 0.59 * green + 0.11 * blue
    down, right = np.gradient(luminance, axis=(1, 2))
    diagonal, other = (down + right) / np.sqrt(2), (down - right) / np.sqrt(2)
    channels = [luminance, red - green, blue - (red + green) / 2]
    channels += [np.abs(edge) for edge in (down, right, diagonal, other)]
    stacked = np.stack(channels, axis=1)
    images, count, px, _ = stacked.shape
    cells = stacked.reshape(images, count, _CELLS, px // _CELLS, _CELLS, px // _CELLS).mean(axis=(3, 5))
    return _standardised(cells)


def _early(area: np.ndarray, local: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(images, voxels): channels weighed inside a Gaussian receptive field, then compressed."""
    images, channels, cells, _ = local.shape
    width = np.array([_FIELD.get(name, 1.0) for name in area])[:, None]
    centre = generator.uniform(0.05, 0.95, (len(area), 2))
    middle = (np.arange(cells) + 0.5) / cells
    row, column = (np.exp(-(((middle - centre[:, axis, None]) / width) ** 2) / 2) for axis in (0, 1))
    field = row[:, :, None] * column[:, None, :]
    prefers = generator.normal(size=(len(area), channels)) ** 3
    weights = prefers[:, :, None, None] * field[:, None]
    driven = local.reshape(images, -1) @ weights.reshape(len(area), -1).T
    driven = _standardised(driven)
    return np.sign(driven) * np.abs(driven) ** _COMPRESSION


def _higher(where: np.ndarray, semantic: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(images, voxels): semantic units under weights that neighbouring voxels partly share."""
    own = generator.normal(size=(len(where), semantic.shape[1]))
    return semantic @ smoothed(own, where).T


def smoothed(values: np.ndarray, where: np.ndarray, *, width: float = 1.2) -> np.ndarray:
    """``values`` (voxels, ...) averaged over neighbours at ``where`` (voxels, 3), each row's variance kept at 1."""
    squared = ((where[:, None] - where[None]) ** 2).sum(axis=2)
    kernel = np.exp(-squared / (2 * width**2))
    return (kernel / np.sqrt((kernel**2).sum(axis=1, keepdims=True))) @ values
