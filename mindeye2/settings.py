"""Settings of every stage: one frozen model per section."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from mindeye2.section import Section, since, unkeyed
from mindeye2.units import read_bytes

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Rate = Annotated[float, Field(gt=0.0)]
Weight = Annotated[float, Field(ge=0.0)]


def _amount(text: str) -> str:
    try:
        read_bytes(text)
    except ValueError as error:
        raise ValueError(f"store.quota: {error}") from None
    return text


class Run(Section):
    """The run as a whole."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = "paper"
    """Folder of the finished tables: results/<name>/."""


class Paths(Section):
    """Where things lie. Never in a key; MINDEYE2_DATASET, _CAPTIONS, _WEIGHTS, _MODELS and _STORE override."""

    dataset: str = "nsd"
    """Root of the official NSD tree (or of another dataset.source)."""
    captions: str = "coco"
    """Folder with COCO's captions_{train,val}2017.json."""
    weights: str = "weights"
    """Folder of the frozen networks, one sub-folder each."""
    models: str = "models"
    """Folder of imported models, for pretrain.source or finetune.source: imported."""
    store: str = "store"
    """Folder of the content-addressed objects; may be shared between checkouts."""


class Storage(Section):
    """The store as a whole. Never in a key; jobs follow what the store's folder says."""

    group: str | None = unkeyed(None)
    """Group of the system whose members share the store: they read its files and build in it. None: you alone do."""
    quota: Annotated[str, AfterValidator(_amount)] | None = unkeyed(None)
    """Storage that the store may take, such as 500 GB or 2 TiB: a run whose missing objects would not fit is not
    started. They are taken to be as large as the stored ones of their stage, or as the paper's."""


class Dataset(Section):
    """Whose data is read."""

    source: Literal["nsd", "released", "haxby"] = "nsd"
    """nsd: the official NSD tree. released: the public MindEye2 files made from it. haxby: one slice of one subject of
    Haxby et al. 2001."""
    sessions: dict[Positive, Positive] = {1: 40, 2: 40, 3: 32, 4: 30, 5: 40, 6: 32, 7: 40, 8: 30}
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


class Reconstruct(Section):
    """From test trials to pictures and captions."""

    num_images: Count | None = None
    """Pictures to decode: the first so many test images by index, or all. 0 decodes neither pictures nor captions.
    Retrieval always uses the whole test set."""
    repeats: Literal["equal", "legacy"] = since("equal", before="equal")
    """Average over a picture's trials: all alike, or as the original's three passes, the first of two trials twice."""
    voxels: Literal["measured", "noise", "shuffled"] = since("measured", before="measured")
    """What is decoded: the test trials; as controls, a draw from N(0, 1) for each voxel of each, or another image's."""
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
    """On a GPU: torch.compile the unCLIP network, which takes a minute or two, then saves a sixth of the time."""
    offload: bool = unkeyed(False)
    """On a GPU of little memory: keep each network in the host's while another one computes."""


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
    """On a GPU: torch.compile the UNet, which takes a minute or two, then saves a sixth of the time."""
    offload: bool = unkeyed(False)
    """On a GPU of little memory: keep each network in the host's while another one computes."""

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


class Variant(Section):
    """Settings of the sections in which a variant differs from the rest of the configuration."""

    sessions: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = None
    """Numbers of sessions of this variant alone, instead of matrix.sessions."""
    betas: dict[str, Any] = {}
    targets: dict[str, Any] = {}
    model: dict[str, Any] = {}
    pretrain: dict[str, Any] = {}
    finetune: dict[str, Any] = {}
    reconstruct: dict[str, Any] = {}
    refine: dict[str, Any] = {}
    evaluate: dict[str, Any] = {}


class Matrix(Section):
    """What is compared: every subject x sessions x seed x variant."""

    subjects: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 2, 5, 7)
    """Evaluated subjects; each is left out of its own pretraining."""
    sessions: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 40)
    """The first so many sessions to fine-tune on. Unused with leave_one_session_out."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (42,)
    """Root seeds; with several, cells show mean and spread."""
    split: Literal["shared", "leave_one_session_out"] = "shared"
    """Test on the images shared by all subjects, or on each session in turn and pool the folds."""
    variants: Annotated[
        dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")], Variant], Field(min_length=1)
    ] = {"default": Variant(), "scratch": Variant(finetune={"init": "scratch"})}
    """Name -> overlay: settings of sections, and sessions to have other numbers of them than the rest."""


class Simulate(Section):
    """The miniature NSD that ``mindeye2 simulate`` writes; no stage reads this section."""

    seed: int = 0
    """Root of every draw of the simulation."""
    trials_per_session: Positive = 96
    """Presentations in one session (750 in NSD)."""
    shared_images: Positive = 64
    """Test images that every subject sees (1000 in NSD)."""
    image_px: Positive = 64
    """Side of the pictures in the stimulus brick."""
    voxels: dict[Positive, Positive] = {1: 420, 2: 360, 3: 390, 4: 330}
    """Subject -> voxels of its nsdgeneral mask."""
    ncsnr: Rate = 0.6
    """Median noise-ceiling signal-to-noise ratio of those voxels, single trial."""
