"""The numbers of the paper (arXiv:2403.11207v2, Tables 7 and 8), for the cells that a run has too."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from mindeye2.report.rows import Row

VARIANT = "published (paper)"
"""Cannot collide with a variant of the configuration, whose name has no spaces."""
SUBJECTS = (1, 2, 5, 7)
SESSIONS = (40, 1)
TEST_IMAGES = 1000

# Subjects 1, 2, 5, 7 with 40 sessions, then with 1; refined pictures. Shares stand in per cent, as printed.
# The paper's column "Image" is image_to_brain and "Brain" is brain_to_image: its code swaps the two directions.
_SHARES = {
    "alexnet2": (97.82, 97.01, 95.32, 94.25, 88.02, 85.00, 83.11, 80.70),
    "alexnet5": (99.10, 98.83, 98.54, 97.97, 93.33, 92.13, 91.00, 85.90),
    "inception": (96.15, 94.90, 96.52, 94.09, 83.56, 81.86, 84.33, 74.90),
    "clip": (93.56, 91.66, 94.32, 92.36, 80.75, 79.39, 82.53, 74.29),
    "retrieval_image_to_brain": (99.96, 99.88, 98.39, 96.89, 93.96, 90.53, 66.94, 64.44),
    "retrieval_brain_to_image": (99.87, 99.84, 96.94, 96.53, 77.63, 67.18, 46.96, 37.77),
    "sentence": (47.95, 46.69, 49.40, 46.97, 33.52, 32.36, 35.12, 28.00),
    "clip_b": (73.74, 73.15, 74.22, 73.16, 67.22, 65.98, 67.63, 63.15),
    "clip_l": (63.76, 62.96, 64.14, 62.86, 55.44, 54.00, 56.19, 50.60),
}
_PLAIN = {
    "pixel_correlation": (0.374, 0.328, 0.301, 0.283, 0.235, 0.200, 0.175, 0.170),
    "ssim": (0.439, 0.430, 0.432, 0.423, 0.428, 0.433, 0.405, 0.408),
    "efficientnet": (0.609, 0.631, 0.600, 0.638, 0.798, 0.807, 0.781, 0.854),
    "swav": (0.338, 0.347, 0.335, 0.357, 0.459, 0.467, 0.444, 0.504),
    "brain_correlation_nsd_general": (0.374, 0.387, 0.413, 0.317, 0.347, 0.350, 0.404, 0.294),
    "brain_correlation_V1": (0.389, 0.391, 0.354, 0.321, 0.318, 0.306, 0.328, 0.283),
    "brain_correlation_V2": (0.381, 0.353, 0.359, 0.314, 0.337, 0.296, 0.336, 0.285),
    "brain_correlation_V3": (0.367, 0.362, 0.340, 0.299, 0.341, 0.323, 0.323, 0.272),
    "brain_correlation_V4": (0.337, 0.374, 0.321, 0.278, 0.316, 0.336, 0.304, 0.243),
    "brain_correlation_higher_vis": (0.361, 0.380, 0.424, 0.309, 0.345, 0.357, 0.415, 0.285),
    "meteor": (0.248, 0.245, 0.250, 0.240, 0.200, 0.200, 0.207, 0.189),
    "rouge_l": (0.326, 0.321, 0.327, 0.319, 0.278, 0.272, 0.280, 0.260),
    "rouge_1": (0.353, 0.349, 0.354, 0.347, 0.299, 0.293, 0.300, 0.279),
}
NUMBERS = {name: tuple(round(value / 100, 4) for value in values) for name, values in _SHARES.items()} | _PLAIN


def comparable(config: Mapping[str, Any]) -> bool:
    """Whether a run measures what the paper measured: NSD itself, tested on the images that all subjects saw."""
    nsd = config["dataset"]["source"] in ("nsd", "released") and not config.get("simulate")
    return nsd and config["matrix"]["split"] == "shared"


def published_rows(rows: Iterable[Row], *, without: Collection[str] = ()) -> list[Row]:
    """The paper's value for each column, subject and number of sessions that a run has too.

    ``without`` are metrics that the run measures in a way of its own.
    """
    cells = dict.fromkeys((row.subject, row.sessions, row.metric, row.picture) for row in rows)
    known = NUMBERS.keys() - set(without)
    return [
        Row(VARIANT, subject, sessions, name, picture, 0, _number(name, subject, sessions), TEST_IMAGES, None, None)
        for subject, sessions, name, picture in cells
        if name in known and picture in ("", "refined") and subject in SUBJECTS and sessions in SESSIONS
    ]


def _number(name: str, subject: int, sessions: int) -> float:
    return NUMBERS[name][SESSIONS.index(sessions) * len(SUBJECTS) + SUBJECTS.index(subject)]
