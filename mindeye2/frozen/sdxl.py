"""The refiner: diffusers' stock SDXL image-to-image pipeline, set up so that nothing but its arguments decides."""

from pathlib import Path
from typing import Any, Literal

import torch

from mindeye2.errors import UserError
from mindeye2.frozen.sdxl_file import SDXL_CONFIG, load_components
from mindeye2.frozen.unclip import load_unet
from mindeye2.frozen.vae import Vae
from mindeye2.frozen.weights import load_tokenizer, read_json, tensor_files


def load_pipeline(
    place: str | Path,
    vae_folder: str | Path,
    *,
    dtype: torch.dtype | None = torch.float32,
    sampler: Literal["euler", "dpmpp_2m"] = "euler",
) -> Any:
    """Read a diffusers pipeline folder or a single file as ``StableDiffusionXLImg2ImgPipeline``, frozen, on the CPU.

    A folder's autoencoder is its own ``vae`` or, without one, ``vae_folder``; always in float32. The scheduler, Euler
    or DPM-Solver++(2M), has trailing timesteps, which are the released models' own (999, 959, ... for 25 steps); there
    is no watermark, which would change pixels. Sizes are the caller's to pass: left out, ``target_size`` becomes the
    picture's. ``dtype`` None keeps the stored precision of the UNet.
    UserError names a missing, damaged or foreign file.
    """
    from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler, StableDiffusionXLImg2ImgPipeline

    place = Path(place)
    if place.is_file():
        parts, schedule, zeros = load_components(place, dtype=dtype), SDXL_CONFIG["scheduler"], True
    else:
        parts, schedule, zeros = _read_folder(place, vae_folder, dtype)
    kind = EulerDiscreteScheduler if sampler == "euler" else DPMSolverMultistepScheduler
    pipeline = StableDiffusionXLImg2ImgPipeline(
        **parts,
        scheduler=kind.from_config(schedule, timestep_spacing="trailing", steps_offset=0, final_sigmas_type="zero"),
        force_zeros_for_empty_prompt=zeros,
        add_watermarker=False,
    )
    # Float32 already; the pipeline would "upcast" it at every call, with a warning.
    pipeline.vae.register_to_config(force_upcast=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _read_folder(
    folder: Path, vae_folder: str | Path, dtype: torch.dtype | None
) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """The parts of a pipeline, the configuration of its scheduler, and whether an empty prompt is all zeros."""
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    index = read_json(folder / "model_index.json")
    if "StableDiffusionXL" not in (named := str(index.get("_class_name", ""))):
        raise UserError(
            f"{folder}/model_index.json: describes a {named or 'pipeline without a name'}, where SDXL is expected; "
            "give a folder of SDXL base or of a fine-tune of it as refine.weights"
        )
    own_vae = folder / "vae"
    parts = {
        "vae": Vae.load(own_vae if own_vae.is_dir() else vae_folder).network,
        "text_encoder": load_text_tower(CLIPTextModel, folder / "text_encoder"),
        "text_encoder_2": load_text_tower(CLIPTextModelWithProjection, folder / "text_encoder_2"),
        "unet": load_unet(folder / "unet", dtype=dtype),
    }
    _check_fit(folder, **parts)
    for name, tower in (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")):
        size = parts[tower].config.vocab_size
        parts[name] = load_tokenizer(CLIPTokenizer, folder / name, needed="tokenizer_config.json", size=size)
    schedule = read_json(folder / "scheduler" / "scheduler_config.json")
    return parts, schedule, index.get("force_zeros_for_empty_prompt", True)


def _check_fit(folder: Path, *, vae: Any, text_encoder: Any, text_encoder_2: Any, unet: Any) -> None:
    """UserError where the UNet is none of SDXL's kind, or the parts are not of one network."""
    first, second, given = text_encoder.config, text_encoder_2.config, unet.config
    pooled = second.projection_dim + 6 * (given.addition_time_embed_dim or 0)
    for field, wanted in (
        ("addition_embed_type", "text_time"),
        ("in_channels", vae.config.latent_channels),
        ("cross_attention_dim", first.hidden_size + second.hidden_size),
        ("projection_class_embeddings_input_dim", pooled),
    ):
        if given[field] != wanted:
            raise UserError(
                f"{folder}/unet/config.json: {field} {given[field]!r}, but an SDXL with the other parts of this folder "
                f"has {wanted!r}; take all parts from one copy of SDXL base or of a fine-tune of it"
            )


def load_text_tower(kind: type, folder: Path) -> Any:
    """One text tower, by transformers' own loader: it knows the key names of old and new files."""
    read_json(folder / "config.json")
    origin = tensor_files(folder)[0]
    try:
        model, found = kind.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, output_loading_info=True, use_safetensors=True
        )
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{origin}: cannot be read as {kind.__name__} ({reason}); fetch the folder again") from None
    lacking = [*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])]
    if lacking:
        raise UserError(
            f"{origin}: lacks {sorted(lacking)[0]}, so it is not the network that its config.json describes; "
            "take both files from one source"
        )
    return model.requires_grad_(False).eval()
