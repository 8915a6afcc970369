"""Seconds and memory per picture of unCLIP decoding and refinement, with random weights of the full size.

    python tests/benchmarks/generators.py --out generators.json

Baseline: half precision, eager, one picture at a time. Ours: what the stages run with ``compile: true`` and
``batch_size: 8``. *Loop* is all calls of the UNet with the arithmetic between them; *whole* is from tokens (or
unrefined pictures and embedded captions) to rows on the disk. *24 GB* is eager with PyTorch's memory held to what such
a card has, *offloaded* that with ``offload: true``. Needs a GPU, torch, diffusers, transformers and this package.
"""

import argparse
import gc
import json
import statistics
import tempfile
import time
import traceback
from pathlib import Path

import diffusers
import torch
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from mindeye2.frozen.sdxl_file import SDXL_CONFIG
from mindeye2.frozen.stability import SDXL_VAE, UNCLIP_UNET
from mindeye2.frozen.vae import Vae
from mindeye2.generate.decode import Decoder, at_side
from mindeye2.generate.device import compute_in_half, default_device, put_on
from mindeye2.generate.refine import refined_px, sampling_arguments
from mindeye2.seeds import torch_generator
from mindeye2.stages.arrays import Rows, as_half

SMALL = {"block_out_channels": [32, 64, 64], "attention_head_dim": [1, 2, 2], "transformer_layers_per_block": [1, 1, 1]}
SMALL_VAE = {"block_out_channels": [32, 32, 32, 32], "layers_per_block": 1}
CARD_GIB = 24


def network(kind, config, device, dtype):
    """Random weights, made where they are used."""
    torch.manual_seed(0)
    with torch.device(device):
        made = kind.from_config(config)
    return (made.half() if dtype == torch.float16 else made).requires_grad_(False).eval()


class LoopTimer:
    """Time from the first call of a UNet to the end of the last one, summed over loops of ``calls``."""

    def __init__(self, unet, calls):
        self.calls, self.count, self.seconds = calls, 0, []
        self.hooks = [unet.register_forward_pre_hook(self._before), unet.register_forward_hook(self._after)]

    def _before(self, *_):
        if self.count % self.calls == 0:
            synchronize()
            self._started = time.perf_counter()

    def _after(self, *_):
        self.count += 1
        if self.count % self.calls == 0:
            synchronize()
            self.seconds.append(time.perf_counter() - self._started)

    def remove(self):
        for hook in self.hooks:
            hook.remove()


def synchronize():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure(label, unet, calls, batch, make, repeats):
    """Seconds per picture of the loop and of all of ``make(first)``, medians of ``repeats`` after one warm-up."""
    timer, whole = LoopTimer(unet, calls), []
    # A network whose forward pass was wrapped refers to itself.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        rows = Rows(Path(folder), batch * (repeats + 1))
        for number in range(repeats + 1):
            synchronize()
            begun = time.perf_counter()
            rows.write(pictures=as_half(make(number * batch, batch), label))
            whole.append(time.perf_counter() - begun)
    timer.remove()
    found = {
        "setting": label,
        "batch": batch,
        "loop_s": statistics.median(timer.seconds[1:]) / batch,
        "whole_s": statistics.median(whole[1:]) / batch,
        "first_s": whole[0],
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0,
        "reserved_gib": torch.cuda.max_memory_reserved() / 2**30 if torch.cuda.is_available() else 0.0,
    }
    print(
        f"{label:<34} batch {batch:>2}  loop {found['loop_s']:.3f} s  whole {found['whole_s']:.3f} s  "
        f"first {found['first_s']:.1f} s  peak {found['peak_gib']:.1f} GiB  ({time.perf_counter() - started:.0f} s)",
        flush=True,
    )
    return found


def unclip_maker(unet, vae, config, steps, device):
    decoder = Decoder(unet, vae, pixel_range="legacy01", steps=steps, guidance=5.0)
    width = config["cross_attention_dim"]

    def make(first, batch):
        tokens = torch.stack([torch.randn(256, width, generator=torch_generator(0, first + i)) for i in range(batch)])
        return decoder(tokens.to(device), [torch_generator(1, first + i) for i in range(batch)])

    return make


def refine_maker(unet, vae, device):
    # The pipeline takes its precision from here, as in the stage; texts come embedded.
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1}
    tower = CLIPTextModelWithProjection(CLIPTextConfig(**sizes, projection_dim=1280)).to(device)
    scheduler = diffusers.EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="trailing"
    )
    pipeline = diffusers.StableDiffusionXLImg2ImgPipeline(
        vae.network, None, tower, None, None, unet, scheduler, add_watermarker=False
    )
    pipeline.vae.register_to_config(force_upcast=False)
    pipeline.vae.enable_slicing()
    pipeline.set_progress_bar_config(disable=True)
    side, native = refined_px(pipeline)

    def make(first, batch):
        draw = torch_generator(2, first)
        text = torch.randn(2, batch, 77, unet.config.cross_attention_dim, generator=draw).to(device)
        pooled = torch.randn(2, batch, 1280, generator=draw).to(device)
        refined = pipeline(
            prompt_embeds=text[0],
            negative_prompt_embeds=text[1],
            pooled_prompt_embeds=pooled[0],
            negative_pooled_prompt_embeds=pooled[1],
            image=torch.rand(batch, 3, side, side, generator=draw).to(device),
            generator=[torch_generator(3, first + i) for i in range(batch)],
            output_type="pt",
            **sampling_arguments(side=side, native=native),
        ).images.float()
        return at_side(refined, min(256, side))

    return make


def compare(name, config, calls, maker, device, arguments, record):
    """The baseline, then what the stages do, then a card of 24 GB; one network after the other."""
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(1.0)
    vae_config = SDXL_VAE | (SMALL_VAE if arguments.small else {})
    vae = Vae(network(diffusers.AutoencoderKL, vae_config, device, torch.float32))
    half = torch.float16 if device.type == "cuda" else torch.float32

    def prepared(**how):
        unet = network(diffusers.UNet2DConditionModel, config, device, half)
        return compute_in_half(unet, device, **how)

    def run(label, unet, batch, repeats=arguments.repeats):
        record(measure(f"{name}: {label}", unet, calls, batch, maker(unet, vae), repeats))

    plain = prepared()
    # The baseline has no channels last.
    plain.to(memory_format=torch.contiguous_format)
    run("eager", plain, 1)
    run("eager", plain, arguments.batch, 1)
    del plain
    run("compiled, channels last", prepared(compiled=True), arguments.batch)
    torch.compiler.reset()
    if device.type == "cuda":
        total = torch.cuda.mem_get_info()[1]
        gc.collect()
        torch.cuda.empty_cache()
        # A driver and its context take about half a GiB of a card.
        torch.cuda.set_per_process_memory_fraction((CARD_GIB - 0.5) * 2**30 / total)
        unet = prepared()
        run(f"eager in {CARD_GIB} GB", unet, arguments.card_batch, 1)
        put_on(device, [unet.cpu(), vae.network.cpu()], offload=True)
        torch.cuda.empty_cache()
        run("eager, offloaded", unet, arguments.card_batch, 1)


def table(rows, device, seconds):
    lines = [f"{device}, torch {torch.__version__}, diffusers {diffusers.__version__}, {seconds:.0f} s in all"]
    lines.append(f"{'setting':<34} {'batch':>5} {'loop s':>8} {'x':>5} {'whole s':>8} {'x':>5} {'peak GiB':>9}")
    lines += [
        f"{row['setting']:<34} {row['batch']:>5} {row['loop_s']:>8.3f} {row['loop_ratio']:>5.2f} "
        f"{row['whole_s']:>8.3f} {row['whole_ratio']:>5.2f} {row['peak_gib']:>9.1f}"
        for row in rows
    ]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--card-batch", type=int, default=4, help="batch size of the 24 GB setting")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--parts", nargs="+", default=["unclip", "refine"], choices=["unclip", "refine"])
    parser.add_argument("--small", action="store_true", help="tiny networks, to try the script without a GPU")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON, after every row")
    arguments = parser.parse_args()

    device, steps, started = default_device(), 3 if arguments.small else 38, time.perf_counter()
    where = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    small = SMALL | {"sample_size": 16} if arguments.small else {}
    unclip, refiner = UNCLIP_UNET | small, SDXL_CONFIG["unet"] | small
    parts = {
        "unclip": (unclip, steps, lambda unet, vae: unclip_maker(unet, vae, unclip, steps, device)),
        "refine": (refiner, 12, lambda unet, vae: refine_maker(unet, vae, device)),
    }
    rows = []

    def record(row):
        base = next((other for other in rows if other["setting"].split(":")[0] == row["setting"].split(":")[0]), row)
        row["loop_ratio"], row["whole_ratio"] = base["loop_s"] / row["loop_s"], base["whole_s"] / row["whole_s"]
        rows.append(row)
        if arguments.out:
            versions = {"torch": torch.__version__, "diffusers": diffusers.__version__}
            arguments.out.write_text(json.dumps({"device": where, **versions, "rows": rows}, indent=1))

    with torch.inference_mode():
        for part in arguments.parts:
            try:
                compare(part, *parts[part], device, arguments, record)
            except RuntimeError:
                # The other part can still be measured.
                traceback.print_exc()
    print(table(rows, where, time.perf_counter() - started), flush=True)


if __name__ == "__main__":
    main()
