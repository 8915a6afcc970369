"""``python -m mindeye2.demo.networks --out DIR``: train the tiny networks on the drawn world.

About half an hour on one H200. Networks may be trained one by one (``--only``), in the order below where one
needs another: vae and clip first; unclip needs both, sdxl the vae, captioner the clip; then the manifest.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import torch

from mindeye2.demo.networks import captioner, captioner_tuning, clip, convnext, manifest, sdxl, unclip, vae
from mindeye2.demo.networks.fit import Run
from mindeye2.demo.networks.scenes import load_or_draw

TRAINERS: dict[str, Callable[[Run], dict[str, float | int]]] = {
    "vae": vae.train,
    "clip": clip.train,
    "convnext": convnext.train,
    "unclip": unclip.train,
    "unclip_tuning": unclip.tune,
    "sdxl": sdxl.train,
    "captioner": captioner.train,
    "captioner_tuning": captioner_tuning.train,
}
NUM_SCENES = 120_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m mindeye2.demo.networks", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the networks, one sub-folder each")
    parser.add_argument("--seed", type=int, default=0, help="root of every random stream (default 0)")
    parser.add_argument("--only", nargs="+", choices=TRAINERS, default=list(TRAINERS), help="train these alone")
    parser.add_argument("--scratch", type=Path, help="rendered pictures, checkpoints (default: OUT/scratch)")
    parser.add_argument("--scenes", type=int, default=NUM_SCENES, help=f"pictures to render (default {NUM_SCENES})")
    parser.add_argument("--share", type=float, default=1.0, help="share of the training steps; below 1 is a rehearsal")
    arguments = parser.parse_args()

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_float32_matmul_precision("high")
    arguments.out.mkdir(parents=True, exist_ok=True)
    scratch = arguments.scratch or arguments.out / "scratch"
    scenes = load_or_draw(scratch, arguments.seed, arguments.scenes, workers=len(os.sched_getaffinity(0)))
    run = Run(arguments.out, scratch, arguments.seed, device, scenes, arguments.share)
    for name in arguments.only:
        note = manifest.timed(name, TRAINERS[name], run)
        manifest.write_note(arguments.out, name, note)


if __name__ == "__main__":
    main()
