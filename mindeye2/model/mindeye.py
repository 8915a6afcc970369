"""The whole decoder: ridge -> backbone -> tokens -> (retrieval, low-level, prior)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mindeye2.errors import UserError
from mindeye2.loading import uninitialised
from mindeye2.model.backbone import BackboneKind, build_backbone
from mindeye2.model.diffusion import DiffusionPrior, PriorDraws
from mindeye2.model.heads import RetrievalHead, TokenHead
from mindeye2.model.lowlevel import LowLevelBranch
from mindeye2.model.prior import PriorNetwork
from mindeye2.model.ridge import Alignment, Ridge
from mindeye2.model.weights import NOTE, TENSORS, check_state, read_note, read_tensors, write_weights
from mindeye2.shapes import Latent, Latents, Tokens, Voxels

RIDGE = "ridge."
# What a model may not share with the one that it starts from.
OWN_SIZES = frozenset({"voxels", "subjects", "alignment", "dropout", "lowlevel_dropout"})


@dataclass(frozen=True)
class Encoded:
    """What one pass makes of a batch of voxels."""

    tokens: Tokens
    """Backbone tokens R, the condition of the prior."""
    retrieval: Tokens | None
    """Retrieval embeddings C, not normalised; None without that head."""
    lowlevel: Latents | None
    """VAE latents of the blurry picture, already scaled; None without the low-level branch."""
    lowlevel_features: Float[Tensor, "batch positions feature_dim"] | None
    """Student's features for the contrastive low-level loss; None without the low-level branch."""


@dataclass(frozen=True)
class TrainingOutput(Encoded):
    prior_loss: Float[Tensor, ""] | None
    """Mean squared error of the prior's x0 estimate; None without a clip_target."""


class MindEye(nn.Module):
    """MindEye2 (Scotti et al. 2024) at any size.

    ``voxels`` holds the number of voxels of each subject in ascending order of the subjects, ``subjects``
    their ids in that order where they are known. ``lowlevel_latents`` is the shape (4, h, w) of one VAE
    latent, or None for a model without the low-level branch. ``metadata`` (pixel_range and whatever else
    belongs to the weights) is kept in ``model.json`` and changes nothing here.

    Weight initialisation and dropout draw from torch's default generator; nothing else here does.
    """

    def __init__(
        self,
        *,
        voxels: Sequence[int],
        hidden_dim: int,
        tokens: int,
        clip_dim: int,
        subjects: Sequence[int] | None = None,
        alignment: Alignment = "ridge",
        backbone: BackboneKind = "residual_mlp",
        num_blocks: int = 4,
        dropout: float = 0.15,
        retrieval: bool = True,
        lowlevel_latents: Sequence[int] | None = None,
        lowlevel_widths: Sequence[int] = (32, 64, 128),
        lowlevel_groups: int = 32,
        lowlevel_map_dim: int = 64,
        lowlevel_feature_dim: int = 512,
        lowlevel_dropout: float = 0.3,
        prior_depth: int = 6,
        prior_heads: int = 32,
        prior_dim_head: int = 52,
        prior_ff_mult: int = 4,
        prior_timesteps: int = 100,
        metadata: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        self.sizes = {
            "voxels": list(voxels),
            "subjects": None if subjects is None else list(subjects),
            "hidden_dim": hidden_dim,
            "tokens": tokens,
            "clip_dim": clip_dim,
            "alignment": alignment,
            "backbone": backbone,
            "num_blocks": num_blocks,
            "dropout": dropout,
            "retrieval": retrieval,
            "lowlevel_latents": None if lowlevel_latents is None else list(lowlevel_latents),
            "lowlevel_widths": list(lowlevel_widths),
            "lowlevel_groups": lowlevel_groups,
            "lowlevel_map_dim": lowlevel_map_dim,
            "lowlevel_feature_dim": lowlevel_feature_dim,
            "lowlevel_dropout": lowlevel_dropout,
            "prior_depth": prior_depth,
            "prior_heads": prior_heads,
            "prior_dim_head": prior_dim_head,
            "prior_ff_mult": prior_ff_mult,
            "prior_timesteps": prior_timesteps,
        }
        self.metadata = dict(metadata or {})
        if subjects is not None and (len(subjects) != len(voxels) or list(subjects) != sorted(set(subjects))):
            raise UserError(
                f"subjects={list(subjects)}: must be ascending and as many as voxels={list(voxels)}; "
                "give both in ascending order of the subjects"
            )
        self.ridge = Ridge(voxels=voxels, hidden_dim=hidden_dim, alignment=alignment)
        self.backbone = build_backbone(backbone, hidden_dim=hidden_dim, num_blocks=num_blocks, dropout=dropout)
        self.token_head = TokenHead(hidden_dim=hidden_dim, tokens=tokens, clip_dim=clip_dim)
        self.retrieval = RetrievalHead(clip_dim=clip_dim) if retrieval else None
        self.lowlevel = None
        if lowlevel_latents is not None:
            self.lowlevel = LowLevelBranch(
                hidden_dim=hidden_dim,
                latents=tuple(lowlevel_latents),
                widths=lowlevel_widths,
                groups=lowlevel_groups,
                map_dim=lowlevel_map_dim,
                feature_dim=lowlevel_feature_dim,
                dropout=lowlevel_dropout,
            )
        network = PriorNetwork(
            tokens=tokens,
            clip_dim=clip_dim,
            depth=prior_depth,
            heads=prior_heads,
            dim_head=prior_dim_head,
            ff_mult=prior_ff_mult,
        )
        self.prior = DiffusionPrior(network=network, timesteps=prior_timesteps)

    @property
    def subjects(self) -> list[int] | None:
        """Ids of the subjects in the order of their positions; None where they are not known."""
        return self.sizes["subjects"]

    def encode(self, voxels: Voxels, subject: int = 0) -> Encoded:
        """Decode z-scored betas of one subject, addressed by its position in the ascending list of subjects."""
        return Encoded(**self._heads(self.ridge(voxels, subject)))

    def encode_repeats(self, voxels: Voxels, rows: Sequence[Sequence[int]], subject: int = 0) -> Encoded:
        """One result per image: each of its ``rows`` of ``voxels`` is encoded alone, then outputs are averaged.

        ``rows`` come from ``repeats.repeat_rows``. Outputs are averaged, not voxels, as in the original.
        """
        sizes = torch.tensor([len(group) for group in rows], device=voxels.device)
        encoded = self.encode(voxels[[row for group in rows for row in group]], subject)
        image = torch.repeat_interleave(torch.arange(len(rows), device=voxels.device), sizes)

        def mean(outputs: Tensor | None) -> Tensor | None:
            if outputs is None:
                return None
            shape = (len(rows), *outputs.shape[1:])
            total = torch.zeros(shape, device=outputs.device).index_add(0, image, outputs.float())
            return total / sizes.view(-1, *(1 for _ in shape[1:]))

        return Encoded(**{name: mean(value) for name, value in vars(encoded).items()})

    def forward(
        self,
        voxels: Sequence[tuple[int, Float[Tensor, "_ _"]]],
        *,
        clip_target: Tokens | None = None,
        draws: PriorDraws | None = None,
    ) -> TrainingOutput:
        """One training pass, whole, so that DDP sees every parameter used.

        ``voxels`` pairs each subject's position with its part of the batch; outputs, ``clip_target`` and ``draws``
        are in the order of those parts, one after the other. Without ``clip_target`` there is no prior loss.
        """
        outputs = self._heads(torch.cat([self.ridge(part, subject) for subject, part in voxels]))
        loss = None
        if clip_target is not None:
            if draws is None:
                raise TypeError("forward() needs draws= for the prior loss that clip_target= asks for")
            loss = self.prior.loss(
                outputs["tokens"],
                clip_target,
                timesteps=draws.timesteps,
                noise=draws.noise,
                brain_keep=draws.brain_keep,
                image_keep=draws.image_keep,
            )
        return TrainingOutput(**outputs, prior_loss=loss)

    def _heads(self, latent: Latent) -> dict[str, Tensor | None]:
        latent = self.backbone(latent)
        tokens = self.token_head(latent)
        lowlevel, features = (None, None) if self.lowlevel is None else self.lowlevel(latent)
        retrieval = None if self.retrieval is None else self.retrieval(tokens)
        return {"tokens": tokens, "retrieval": retrieval, "lowlevel": lowlevel, "lowlevel_features": features}

    def save(self, folder: str | Path) -> None:
        """Write model.safetensors (float32) and model.json (constructor sizes, subjects, metadata)."""
        write_weights(folder, self.state_dict(), {"sizes": self.sizes, "metadata": self.metadata})

    @classmethod
    def load(cls, folder: str | Path) -> "MindEye":
        """Rebuild a saved model from its folder alone, on the CPU, in evaluation mode.

        Strict: UserError names a missing, damaged or misshapen file, setting or tensor. Draws no random number.
        """
        note = read_note(folder)
        try:
            with uninitialised():
                model = cls(**note["sizes"], metadata=note.get("metadata"))
        except (TypeError, ValueError, KeyError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            raise UserError(f"{Path(folder) / NOTE}: does not describe a model ({reason}); build it again") from None
        state = read_tensors(folder)
        check_state(state, model.state_dict(), origin=Path(folder) / TENSORS)
        model.load_state_dict(state, assign=True)
        return model.eval()

    def start_from(self, pretrained: str | Path) -> tuple[str, ...]:
        """Take every tensor of a saved model but ``ridge.*``; returns their names.

        The subjects' ridges keep their own weights *and* biases, where the original let the first pretraining
        subject's bias through. UserError names the first size or tensor that does not fit.
        """
        origin = Path(pretrained) / TENSORS
        theirs = read_note(pretrained)["sizes"]
        for name, value in self.sizes.items():
            if name not in OWN_SIZES and theirs.get(name) != value:
                raise UserError(
                    f"{Path(pretrained) / NOTE}: {name} is {theirs.get(name)} where this model has {value}; "
                    "start from a model of the same sizes"
                )
        state = {name: value for name, value in read_tensors(pretrained).items() if not name.startswith(RIDGE)}
        check_state(state, {k: v for k, v in self.state_dict().items() if not k.startswith(RIDGE)}, origin=origin)
        self.load_state_dict(state, strict=False)
        return tuple(state)
