"""What each metric is called, which direction is better and what chance would give."""

import re
from dataclasses import dataclass, replace

PICTURES = {"refined": "refined pictures", "unrefined": "unrefined pictures", "lowlevel": "low-level pictures"}
GROUPS = {
    "identification": "Retrieval and identification",
    "picture": "Pictures",
    "caption": "Captions",
    "caption_git": "Captions, against the captioner's of the seen picture",
    "caption_ceiling": "Captions of the seen picture against the true ones, and the decoded ones relative to them",
    "brain": "Brain correlation",
    "umap": "Tokens in a plane by UMAP",
}
ABSENT = "–"


@dataclass(frozen=True)
class Metric:
    """How a metric reads; ``percent`` marks a share, which is stored in [0, 1] and shown in per cent."""

    title: str
    group: str = "picture"
    said: str = ""
    higher: bool = True
    percent: bool = False
    chance: float | None = None
    meaning: str = ""

    @property
    def name(self) -> str:
        """What the metric is called in a sentence."""
        return self.said or self.title

    @property
    def arrow(self) -> str:
        return "↑" if self.higher else "↓"

    @property
    def heading(self) -> str:
        return f"{self.title} % {self.arrow}" if self.percent else f"{self.title} {self.arrow}"

    def show(self, value: float | None) -> str:
        """``0.9782`` -> ``97.8`` for a share, ``0.374`` otherwise; an en dash where nothing was computed."""
        if value is None:
            return ABSENT
        return f"{100 * value:.1f}" if self.percent else f"{value:.3f}"

    def with_unit(self, value: float | None) -> str:
        """For a sentence: ``97.8 %``, which no line break parts."""
        shown = self.show(value)
        return f"{shown}\N{NO-BREAK SPACE}%" if self.percent and value is not None else shown


def _two_way(title: str, network: str) -> Metric:
    meaning = (
        f"how often a picture's own reconstruction is closer to it than another picture is, by features of {network}"
    )
    return Metric(title, said=f"{title} identification", percent=True, chance=0.5, meaning=meaning)


_KNOWN = {
    "retrieval_image_to_brain": Metric(
        "Image → brain",
        "identification",
        said="image → brain retrieval",
        percent=True,
        meaning="given a picture, its brain pattern found among those of the pool; the paper's column “Image”",
    ),
    "retrieval_brain_to_image": Metric(
        "Brain → image",
        "identification",
        said="brain → image retrieval",
        percent=True,
        meaning="given a brain pattern, its picture found among the pool; the paper's column “Brain”",
    ),
    "pixel_correlation": Metric("PixCorr", meaning="Pearson correlation of the pixels"),
    "ssim": Metric("SSIM", meaning="structural similarity of the luminance"),
    "alexnet2": _two_way("Alex(2)", "AlexNet's second layer"),
    "alexnet5": _two_way("Alex(5)", "AlexNet's fifth layer"),
    "inception": _two_way("Incep", "InceptionV3's pooled layer"),
    "clip": _two_way("CLIP", "CLIP's image embedding"),
    "efficientnet": Metric("Eff", higher=False, meaning="correlation distance of EfficientNet-B1 features"),
    "swav": Metric("SwAV", higher=False, meaning="correlation distance of SwAV features"),
    "fid": Metric("FID", higher=False, meaning="Fréchet distance of the features of many decoded and true pictures"),
    "meteor": Metric("METEOR", "caption", meaning="words of the decoded caption matched to the true one's"),
    "rouge_1": Metric("ROUGE-1", "caption", meaning="F1 of the words that the decoded and the true caption share"),
    "rouge_l": Metric("ROUGE-L", "caption", meaning="F1 of the longest word sequence that both captions share"),
    "sentence": Metric("Sentence", "caption", meaning="cosine of the captions' sentence embeddings"),
    "clip_b": Metric("CLIP-B", "caption", meaning="cosine of the captions in CLIP ViT-B/32"),
    "clip_l": Metric("CLIP-L", "caption", meaning="cosine of the captions in OpenAI's CLIP ViT-L/14"),
    "caption_clip": Metric("Caption CLIP", "caption", meaning="cosine of the captions in the targets' own CLIP"),
    **{
        f"brain_correlation_{region}": Metric(
            title,
            "brain",
            said=f"brain correlation in {title}",
            meaning=f"betas predicted from the decoded picture against the measured ones, {title}",
        )
        for region, title in (
            ("nsd_general", "visual cortex"),
            ("V1", "V1"),
            ("V2", "V2"),
            ("V3", "V3"),
            ("V4", "V4"),
            ("higher_vis", "higher visual areas"),
        )
    },
    **{
        f"umap_distance_{kind}": Metric(
            kind.capitalize(),
            "umap",
            said=f"UMAP distance of {kind} tokens",
            higher=False,
            meaning=f"distance of a picture's {kind} tokens from its true ones, in a plane fitted to both",
        )
        for kind in ("backbone", "retrieval", "prior")
    },
}
_AGAINST = {
    "git": ("caption_git", "with the captioner's caption of the seen picture in place of the true one"),
    "ceiling": ("caption_ceiling", "of the captioner's caption of the seen picture: what perfect decoding would reach"),
    "relative": ("caption_ceiling", "with the captioner's caption of the seen picture, as a share of the ceiling"),
}
"""What the name of a caption metric may end in -> its group, and what is other than in the metric itself."""


def metric(name: str) -> Metric:
    """The metric of that name; one that the catalogue does not list is read from its name."""
    if name in _KNOWN:
        return _KNOWN[name]
    stem, _, against = name.rpartition("_")
    if against in _AGAINST and stem in _KNOWN and _KNOWN[stem].group == "caption":
        (group, other), plain = _AGAINST[against], _KNOWN[stem]
        title = f"{plain.title}, {'GIT' if against == 'git' else against}"
        return replace(plain, group=group, title=title, meaning=f"{plain.meaning}, {other}")
    title = name.replace("_", " ").capitalize()
    if ways := re.fullmatch(r"identification_(\d+)way", name):
        count = int(ways[1])
        meaning = f"the seen category named among {count}"
        said = f"{count}-way identification"
        return Metric(f"{count}-way", "identification", said, percent=True, chance=1 / count, meaning=meaning)
    return Metric(title)


def chance_level(name: str, n: int | None, pool: int) -> float | None:
    """Share of hits that guessing gives, or None where the metric has none.

    Retrieval looks for one image among ``pool``, or among all ``n`` test images where there are fewer.
    """
    if name in ("retrieval_image_to_brain", "retrieval_brain_to_image"):
        return 1 / min(pool, n) if n else None
    return metric(name).chance
