"""Brain correlation: what an encoding model predicts of each decoded picture, against the measured responses."""

from collections.abc import Mapping

from mindeye2.data.volumes import REGIONS
from mindeye2.errors import UserError
from mindeye2.frozen.gnet import GNet
from mindeye2.generate.device import default_device
from mindeye2.job import Job
from mindeye2.metrics.brain import brain_correlation
from mindeye2.metrics.table import Table
from mindeye2.networks import absent
from mindeye2.objects import read_regions
from mindeye2.shapes import Images
from mindeye2.stages.decoded import Decoded
from mindeye2.stages.truth import measured_betas


def brain_correlations(
    table: Table, job: Job, decoded: Decoded, pictures: Mapping[str, Images], *, legacy: bool
) -> None:
    """Add each region and kind of picture to the table; UserError where GNet has other voxels than the betas.

    ``legacy``: how the measured responses to a picture are averaged, as in ``mean_per_group``.
    """
    names, place = [f"brain_correlation_{region}" for region in REGIONS], job.networks.get("gnet")
    if place is None or job.config["split"] != "shared":
        reason = absent("gnet") if place is None else "a session's average over a category is no picture's response"
        table.leave_out(names, reason, pictures=pictures)
        return
    betas, subject = job.input("betas"), job.config["subject"]
    regions, measured = read_regions(betas), measured_betas(job.input("behav"), betas, decoded.shown, legacy=legacy)
    gnet = GNet.load(place, subject=subject).to(default_device())
    if gnet.voxels != measured.shape[1]:
        raise UserError(
            f"{place}: GNet has {gnet.voxels} voxels of subject {subject}, the betas have {measured.shape[1]}; "
            "use betas of the official nsdgeneral mask, or take the folder away"
        )
    predicted = {kind: gnet.predict(made) for kind, made in pictures.items()}
    for name, region in zip(names, REGIONS, strict=True):
        if region not in regions or regions[region].sum() < 2:
            table.leave_out(name, f"the betas have no voxels of {region}", pictures=pictures)
            continue
        for kind, made in predicted.items():
            values = brain_correlation(measured, made, regions[region], per_image=True)
            table.measure(name, values, picture=kind)
