"""The numbers of the paper (arXiv:2403.11207v2, Tables 1, 2, 3, 7, 8 and 9), and for which cells a run has them."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from mindeye2.report.rows import Row

VARIANT = "published (paper)"
"""Cannot collide with a variant of the configuration, whose name has no spaces."""
SUBJECTS = (1, 2, 5, 7)
SESSIONS = (40, 1)
TEST_IMAGES = 1000
RETRIEVAL_POOL = 300

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
PERCENT = frozenset(_SHARES)
"""Metrics that the paper prints in per cent."""
NUMBERS = {name: tuple(round(value / 100, 4) for value in values) for name, values in _SHARES.items()} | _PLAIN
"""Metric -> its value in Tables 7 and 8, shares in [0, 1]."""

TABLE_1_METRICS = (
    "pixel_correlation",
    "ssim",
    "alexnet2",
    "alexnet5",
    "inception",
    "clip",
    "efficientnet",
    "swav",
    "retrieval_image_to_brain",
    "retrieval_brain_to_image",
)
NOTHING = "-"
"""Where nothing is printed."""
# Means over the subjects, in the order of the metrics above, as printed.
TABLE_1 = {
    "MindEye2 (refined)": ".322 .431 96.1 98.6 95.4 93.0 .619 .344 98.8 98.3",
    "MindEye2 (unrefined)": ".278 .328 95.2 99.0 96.4 94.5 .622 .343 - -",
    "MindEye1": ".319 .360 92.8 96.9 94.6 93.3 .648 .377 90.0 84.1",
    "Ozcelik & VanRullen": ".273 .365 94.4 96.6 91.3 90.9 .728 .421 18.8 26.3",
    "Takagi & Nishimoto": ".246 .410 78.9 85.6 83.8 82.1 .811 .504 - -",
    "MindEye2 (low-level)": ".399 .539 70.5 65.1 52.9 57.2 .984 .673 - -",
    "MindEye2 (1 hour)": ".195 .419 84.2 90.6 81.2 79.2 .810 .468 79.0 57.4",
}
TABLE_3_METHODS = (
    "MindEye2 (refined)",
    "MindEye2 (unrefined)",
    "MindEye2 (1 hour)",
    "Ozcelik & VanRullen",
    "Takagi & Nishimoto",
)
# Means over the subjects, in the order of the methods above.
TABLE_3 = {
    "brain_correlation_nsd_general": ".373 .384 .348 .381 .247",
    "brain_correlation_V1": ".364 .385 .309 .362 .181",
    "brain_correlation_V2": ".352 .366 .314 .340 .152",
    "brain_correlation_V3": ".342 .353 .315 .332 .152",
    "brain_correlation_V4": ".327 .339 .300 .323 .170",
    "brain_correlation_higher_vis": ".368 .373 .351 .375 .288",
}
OURS = {
    "MindEye2 (refined)": (40, "refined"),
    "MindEye2 (unrefined)": (40, "unrefined"),
    "MindEye2 (low-level)": (40, "lowlevel"),
    "MindEye2 (1 hour)": (1, "refined"),
}
"""Method of Tables 1 and 3 that a run can have -> its number of sessions and kind of picture."""
TABLE_2_METHODS = ("MindEye2 to COCO", "UniBrain to COCO", "MindEye2 to GIT", "Ferrante et al. to GIT")
# Subject 1 with 40 sessions, compared with COCO's captions, then with GIT's captions of the seen pictures.
TABLE_2 = {
    "meteor": ".248 .170 .344 .305",
    "rouge_l": ".326 .225 .427 -",
    "rouge_1": ".353 .247 .455 -",
    "sentence": "47.9 - 52.3 44.7",
    "clip_b": "73.7 - 75.4 70.5",
    "clip_l": "63.8 86.1 67.1 -",
}
TABLE_9_METRICS = ("fid", *TABLE_1_METRICS[:8])
# Pictures decoded from the true tokens of pictures of COCO; shares in per cent, where the paper prints them in [0, 1].
TABLE_9 = {
    "SDXL unCLIP": "13.69 .676 .232 99.8 99.8 99.7 99.9 .240 .029",
    "Versatile Diffusion": "22.04 .266 .055 97.2 96.6 99.4 99.7 .487 .108",
}


def comparable(config: Mapping[str, Any]) -> bool:
    """Whether a run measures what the paper measured: NSD itself, tested on the images that all subjects saw."""
    nsd = config["dataset"]["source"] in ("nsd", "released") and not config.get("simulate")
    return nsd and config["matrix"]["split"] == "shared"


def true_token_variants(config: Mapping[str, Any]) -> list[str]:
    """Variants whose pictures are decoded from true tokens, not from predicted ones."""
    base = config["reconstruct"].get("tokens", "prior")
    overlays = config["matrix"]["variants"]
    return [name for name, over in overlays.items() if over.get("reconstruct", {}).get("tokens", base) == "targets"]


def published_rows(rows: Iterable[Row], *, without: Collection[str] = ()) -> list[Row]:
    """The paper's value for each column, subject and number of sessions that a run has too.

    ``without`` are metrics that the run measures in a way of its own.
    """
    cells = dict.fromkeys((row.subject, row.sessions, row.metric, row.picture) for row in rows)
    known = NUMBERS.keys() - set(without)
    return [
        Row(VARIANT, subject, sessions, name, picture, 0, number(name, subject, sessions), TEST_IMAGES, None, None)
        for subject, sessions, name, picture in cells
        if name in known and picture in ("", "refined") and subject in SUBJECTS and sessions in SESSIONS
    ]


def number(name: str, subject: int, sessions: int) -> float:
    """Of Table 7 (40 sessions) or 8 (1 session); a share in [0, 1]."""
    return NUMBERS[name][SESSIONS.index(sessions) * len(SUBJECTS) + SUBJECTS.index(subject)]
