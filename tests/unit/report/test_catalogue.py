"""What metrics are called whose names are made of another's."""

from mindeye2.report.catalogue import GROUPS, metric


def test_comparisons_of_captions_read_as_their_metric_does():
    plain, to_git, ceiling = (metric(f"clip_l{against}") for against in ("", "_git", "_ceiling"))
    assert (to_git.title, to_git.group, to_git.higher) == ("CLIP-L, GIT", "caption_git", plain.higher)
    assert to_git.meaning.startswith(plain.meaning) and to_git.meaning != ceiling.meaning
    assert metric("rouge_l_relative").group == ceiling.group == "caption_ceiling"
    assert {plain.group, to_git.group, ceiling.group} <= GROUPS.keys()
    # Only a caption's metric is compared so.
    assert metric("ssim_git").title == "Ssim git"


def test_distances_in_a_plane_are_better_small():
    prior = metric("umap_distance_prior")
    assert not prior.higher and prior.group in GROUPS and prior.name == "UMAP distance of prior tokens"
