"""Settings of every stage: one frozen model per section."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mindeye2.section import Section, since, unkeyed

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Rate = Annotated[float, Field(gt=0.0)]
Weight = Annotated[float, Field(ge=0.0)]
SessionCounts = Annotated[dict[Positive, Positive], Field(min_length=1)]


class Dataset(Section):
    """Whose data is read."""

    source: Literal["nsd", "released", "haxby"] = "nsd"
    """nsd: the official NSD tree. released: the public MindEye2 files made from it. haxby: one slice of one subject of
    Haxby et al. 2001."""
    sessions: SessionCounts = {1: 40, 2: 40, 3: 32, 4: 30, 5: 40, 6: 32, 7: 40, 8: 30}
    """Subject -> number of its sessions, all of which are read."""
    fingerprint: Literal["sha256", "size"] = "sha256"
    """How a raw file enters a key: its content's hash, or, for files that never change, path and size alone."""


class Stimuli(Section):
    """Pictures as the frozen networks see them."""

    image_px: Positive = 224
    """Side of the square pictures that the frozen networks see."""


class Behav(Section):
    """Trials."""

    window: Positive = 15
    """Trials before and after that each sample carries."""


class Betas(Section):
    """Normalised single-trial responses. Released ones (dataset.source) are z-scored already: of these settings only
    dtype counts for them."""

    version: Literal["betas_fithrf_GLMdenoise_RR", "betas_fithrf", "betas_assumehrf"] = "betas_fithrf_GLMdenoise_RR"
    """GLMsingle version: b3, b2, b1."""
    scope: Literal["session", "all"] = "session"
    """Mean and standard deviation of each voxel over each session, or over all of them."""
    statistics: Literal["training", "all"] = "training"
    """Which rows the statistics come from: trials of training images, or every row."""
    dtype: Literal["float16", "float32"] = "float32"
    """Number format of the stored betas."""


class Targets(Section):
    """What the frozen networks say of each picture."""

    network: Literal["clip", "openai_clip"] = since("clip", before="clip")
    """Network of the weights folder that gives the tokens: its patches, which the unCLIP network decodes, or, for
    openai_clip, class token and patches in the joint space (257 x 768 of ViT-L/14), which nothing here decodes."""
    pixel_range: Literal["legacy01", "pm1"] = "legacy01"
    """How CLIP sees a [0, 1] picture: as [0.5, 1] (the released models), or as it is."""
    lowlevel_vae: Literal["lowlevel_vae", "vae"] = "lowlevel_vae"
    """Which autoencoder of the weights folder gives the low-level latents."""
    augmented_views: Positive = 4
    """Augmented views per picture whose teacher features are cached."""
    batch_size: Positive = unkeyed(64)
    """Pictures per forward pass."""


class Prior(Section):
    """Sizes of the diffusion prior."""

    depth: Positive = 6
    """Transformer layers."""
    heads: Positive = 32
    """Attention heads."""
    dim_head: Positive = 52
    """Width of one head."""
    ff_mult: Positive = 4
    """Width of the feed-forward layers, in token widths."""
    timesteps: Positive = 100
    """Noise levels of the cosine schedule."""
    drop_brain: Fraction = 0.2
    """Share of training samples whose brain tokens are replaced by learned null tokens."""
    drop_image: Fraction = 0.2
    """The same for the noisy image tokens."""


class Model(Section):
    """Sizes of what is trained."""

    hidden_dim: Positive = 4096
    """Width h of the latent space that subjects share."""
    alignment: Literal["ridge", "mlp"] = since("ridge", before="ridge")
    """What takes each subject's voxels to h: an affine map, or MindEye1's input layer with LayerNorm, GELU
    and dropout."""
    backbone: Literal["residual_mlp", "linear", "legacy_mixer"] = "residual_mlp"
    """What the paper describes, an affine map, or what the released models really compute."""
    num_blocks: Positive = 4
    """Residual blocks of the backbone; unused by linear."""
    dropout: Fraction = 0.15
    """Dropout inside those blocks."""
    retrieval: bool = True
    """Train the retrieval head (the contrastive submodule)."""
    lowlevel: bool = True
    """Train the low-level branch, which predicts VAE latents."""
    lowlevel_widths: tuple[Positive, Positive, Positive] = (32, 64, 128)
    """Channels of the low-level decoder, from fine to coarse."""
    lowlevel_groups: Positive = 32
    """Groups of its group norms; divides each of those channels."""
    prior: Prior = Prior()
    """The diffusion prior, from brain tokens to CLIP tokens."""

    @model_validator(mode="after")
    def _whole_groups(self):
        if self.lowlevel and any(width % self.lowlevel_groups for width in self.lowlevel_widths):
            raise ValueError(
                f"model.lowlevel_groups: {self.lowlevel_groups} does not divide each of model.lowlevel_widths "
                f"{list(self.lowlevel_widths)}; change either"
            )
        return self


class Training(Section):
    source: Literal["trained", "imported"] = since("trained", before="trained")
    """Train here, or take over the model in folder, as import-weights writes it; nothing else here counts then."""
    num_epochs: Positive = 150
    """Epochs, of a length that trials_per_session sets."""
    trials_per_session: Positive | None = since(None, before=None)
    """Trials that an epoch takes, of all subjects together, for each session of the subject with most: 750 is the
    published length. None: as many steps as one pass over the trials of the subject with most of them takes."""
    max_lr: Rate = 3e-4
    """Peak of the learning-rate schedule."""
    batch_size: Positive = 24
    """Trials of one step, over all subjects and devices together."""
    mixup_pct: Fraction = 0.33
    """Share of the epochs with BiMixCo; SoftCLIP after."""
    prior_scale: Weight = 30.0
    """Weight of the prior's loss."""
    clip_scale: Weight = 1.0
    """Weight of the contrastive loss."""
    lowlevel_scale: Weight = 0.5
    """Weight of the low-level loss."""
    contrastive_scale: Weight = 0.1
    """Weight of the teacher's contrastive loss inside the low-level loss; 0 needs no teacher."""
    mixing_targets: Literal["corrected", "legacy"] = since("corrected", before="corrected")
    """What mixed trials are compared with: their own subject's pictures and latents in the same mixture, or the
    original's targets (partners counted from the first subject's rows, rows that are their own partner short of
    mass, latents unmixed)."""
    weight_decay: Weight = 0.01
    """AdamW's decay; it is what makes the ridge a ridge."""
    decay_groups: Literal["matrices", "legacy"] = since("matrices", before="matrices")
    """What is decayed: matrices and kernels; or, as in the original, norm gains and ridge biases too."""
    lr_schedule: Literal["cycle", "linear", "legacy_linear"] = "cycle"
    """OneCycle, linear decay, or the original's linear schedule, which rises to the last step."""
    cycle_beta1: bool = since(True, before=True)
    """OneCycle moves Adam's β1 from 0.95 to 0.85 and back, as the original did unawares; false keeps 0.9."""
    grad_clip: Weight = 1.0
    """Largest gradient norm; 0 switches clipping off."""
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """Autocast of the forward pass; weights stay float32."""
    recompute: bool = unkeyed(False)
    """Compute the prior's layers again in the backward pass instead of keeping them: a third more time, for a GPU of
    little memory (h = 1024 and batches of 42 on 24 GB)."""
    checkpoint_minutes: Rate = unkeyed(10.0)
    """Time between two checkpoints: what a kill can cost."""

    def keyed(self) -> dict[str, Any]:
        """Of an imported model, no setting of its training is known, and none would change it."""
        return {"source": self.source} if self.source == "imported" else super().keyed()


class Pretrain(Training):
    """Training on every subject but the evaluated one."""

    subjects: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = since(None, before=None)
    """Subjects to train on, of which the evaluated one is left out; None: every other subject of dataset.sessions."""
    folder: str = unkeyed("without-subj{subject:02d}")
    """The imported model below paths.models; {subject} is who was left out."""
    batch_size: Positive = 42
    """Trials of one step, the same number of every subject."""


class Finetune(Training):
    """Training on the first sessions of the evaluated subject."""

    init: Literal["pretrained", "scratch"] = "pretrained"
    """Start from the model pretrained on the other subjects, or from random weights."""
    folder: str = unkeyed("subj{subject:02d}-{sessions}sess")
    """The imported model below paths.models of each {subject} and number of {sessions}."""


class Unclip(Section):
    """Fine-tuning of an SDXL-shaped UNet to the CLIP tokens of pictures, where reconstruct.unclip is trained. The
    defaults are the paper's, as far as they are known; docs/architecture.md says which pictures are trained on."""

    init: Literal["sdxl", "unclip"] = "sdxl"
    """Start from the SDXL UNet of the weights folder, less what reads text, or from its unCLIP network."""
    pictures: Literal["stimuli", "folder"] = "stimuli"
    """Train on the dataset's pictures that nobody is tested on, or on every picture below paths.pictures."""
    image_px: Positive = 256
    """Side of the square pictures that are trained on."""
    decode_px: Positive = 768
    """Side of the pictures that the network will decode, and the size that it is told of pictures of unknown origin."""
    steps: Positive = 110_000
    """Training steps."""
    batch_size: Positive = 16
    """Pictures of one step, over all devices together."""
    max_lr: Rate = 1e-5
    """Learning rate after the warm-up."""
    warmup_steps: Positive = 1000
    """Steps in which the learning rate rises linearly from almost nothing."""
    lr_schedule: Literal["constant", "cosine"] = "constant"
    """After the warm-up: constant, or a cosine down to a hundredth."""
    weight_decay: Weight = 0.01
    """AdamW's decay, of all parameters."""
    grad_clip: Weight = 0.0
    """Largest gradient norm; 0 switches clipping off."""
    average: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Decay per step of the running average of the weights that is kept in their place; 0 keeps the last ones."""
    null_share: Fraction = 0.0
    """Share of samples whose tokens are N(0, 1) noise, the null that decoding guides away from; the paper's network
    never saw it, and a small one needs it (0.1)."""
    exact_share: Fraction = 1.0
    """Share of samples whose tokens are exact; the rest, less null_share, are made inexact as decoded ones are."""
    least_kept: Fraction = 1.0
    """Inexact tokens keep this to all of their distance from the mean picture's."""
    most_noise: Weight = 0.0
    """Inexact tokens get noise of a standard deviation up to this."""
    seed: int = 0
    """Root of every draw; one network serves all seeds of the matrix."""
    precision: Literal["float32", "bfloat16", "float16"] = "float16"
    """Autocast of the forward pass; weights stay float32, and float16 has its loss scaled. CPUs know no float16."""
    recompute: bool = unkeyed(False)
    """Compute activations again in the backward pass instead of keeping them (gradient checkpointing)."""
    checkpoint_minutes: Rate = unkeyed(10.0)
    """Time between two checkpoints: what a kill can cost."""


class Reconstruct(Section):
    """From test trials to pictures and captions."""

    num_images: Count | None = None
    """Pictures to decode: the first so many test images by index, or all. 0 decodes neither pictures nor captions.
    Retrieval always uses the whole test set."""
    repeats: Literal["equal", "legacy"] = since("equal", before="equal")
    """Average over a picture's trials: all alike, or as the original's three passes, the first of two trials twice."""
    voxels: Literal["measured", "noise", "shuffled"] = since("measured", before="measured")
    """What is decoded: the test trials; as controls, a draw from N(0, 1) for each voxel of each, or another image's."""
    unclip: Literal["given", "trained"] = since("given", before="given")
    """The unCLIP network: the weights folder's, or one that is trained here as the section unclip says."""
    tokens: Literal["prior", "targets"] = since("prior", before="prior")
    """What is decoded and captioned: the prior's tokens, or the true ones of each test picture, which no brain is in:
    what the networks themselves can do (the paper's Table 9)."""
    prior_steps: Positive = 20
    """Sampling steps of the diffusion prior."""
    steps: Positive = 38
    """Sampling steps of the unCLIP network."""
    sampler: Literal["euler", "dpmpp_2m"] = since("euler", before="euler")
    """How those steps are taken: by Euler's method, as published, or by DPM-Solver++(2M), which needs about 15."""
    guidance: Weight = 5.0
    """Classifier-free guidance of the unCLIP network."""
    unconditional: Literal["legacy", "zeros"] = since("legacy", before="legacy")
    """What guidance leads away from: tokens of noise, drawn for each picture, as published; or tokens of zeros, for
    networks that were trained to know them."""
    batch_size: Positive = unkeyed(8)
    """Pictures per forward pass."""
    compile: bool = unkeyed(False)
    """On a GPU: torch.compile the unCLIP network. Takes 100 s and then saves a sixth: worth it from 1000 pictures."""
    offload: bool = unkeyed(False)
    """On a GPU of less than 12 GB: keep each network in the host's memory while another one computes."""


class Refine(Section):
    """Image to image through SDXL, prompted by the predicted caption."""

    steps: Positive = 25
    """Steps of the whole schedule, of which the last strength x steps are run."""
    strength: Fraction = 0.5
    """Share of the schedule that is run: larger is more caption, less picture; 0 leaves refinement out."""
    prompt: Literal["caption", "empty"] = since("caption", before="caption")
    """What the pictures are refined towards: the predicted caption, or no text."""
    weights: str = unkeyed("sdxl")
    """The SDXL below paths.weights: a diffusers folder or a single .safetensors file. Its content is in the key."""
    sampler: Literal["euler", "dpmpp_2m"] = since("euler", before="euler")
    """How the steps are taken: by Euler's method, as published, or by DPM-Solver++(2M), which needs fewer."""
    guidance: Weight = 5.0
    """Classifier-free guidance by the caption."""
    batch_size: Positive = unkeyed(8)
    """Pictures per forward pass."""
    compile: bool = unkeyed(False)
    """On a GPU: torch.compile the UNet. Takes 100 s and then saves an eighth: worth it from 2500 pictures."""
    offload: bool = unkeyed(False)
    """On a GPU of less than 12 GB: keep each network in the host's memory while another one computes."""

    @model_validator(mode="after")
    def _some_step(self):
        if self.strength > 0 and int(self.steps * self.strength) == 0:
            raise ValueError(
                f"refine.strength: {self.strength} of {self.steps} steps is not one step; "
                f"use at least {1 / self.steps:.3g}, or 0 to leave refinement out"
            )
        return self


class Evaluate(Section):
    """Metrics."""

    blend_weight: Fraction = 0.25
    """Share of the low-level picture in a refined one."""
    antialias: bool = since(False, before=False)
    """Anti-alias pictures that shrink on their way into a metric; the published numbers come without."""
    repeats: Literal["equal", "legacy"] = since("equal", before="equal")
    """The same choice as reconstruct.repeats, for the measured betas behind brain correlation."""
    retrieval_pool: Positive = 300
    """Images of one retrieval draw; all of them where the test set is smaller."""
    retrieval_repetitions: Positive = 30
    """Draws that are averaged."""
    bootstrap: Positive = 1000
    """Resamples over images behind each confidence interval."""
    clip: Literal["openai_clip", "clip"] = "openai_clip"
    """Network of the weights folder behind the CLIP metrics."""
    baselines: tuple[Literal["linear_svm", "linear_ridge"], ...] = ()
    """Decoders evaluated on the same trials, shown as variants of their own: a support vector machine that names
    classes, closed-form ridge from single trials to CLIP tokens."""
    umap: bool = since(False, before=False)
    """Distances between true and decoded tokens in a plane by UMAP: needs umap-learn, and 10 GB at full size."""
    usual_caches: bool = unkeyed(True)
    """Take a metric's network that paths.weights lacks from where its library keeps what it fetched (torch hub,
    Hugging Face, nltk). What is found enters the key, wherever it lies."""
    batch_size: Positive = unkeyed(64)
    """Pictures per forward pass."""


class Tables(Section):
    """The matrix and the report page."""

    pictures: bool = True
    """False leaves every picture out of the report, as NSD's terms ask of a public one."""
    pictures_per_subject: Positive = 8
    """Rows of the report's picture grids."""
