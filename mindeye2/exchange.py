"""Weights of released MindEye2 models: into a folder of ours, and back."""

from collections.abc import Sequence
from pathlib import Path

from mindeye2.config import Config
from mindeye2.data.recordings import count_voxels
from mindeye2.data.sizes import VOXELS
from mindeye2.drafts import draft, refuse_content
from mindeye2.errors import UserError
from mindeye2.model.mindeye import MindEye
from mindeye2.model.released import read_released, write_released
from mindeye2.model.upstream import GROUPS, from_released, released_sizes, to_released
from mindeye2.pickles import check_archive
from mindeye2.sources import sha256_with_progress

NSD_SUBJECTS = range(1, 9)


def import_weights(
    file: Path, out: Path, *, subject: int | None = None, held_out: int | None = None, config: Config | None = None
) -> MindEye:
    """Write a released ``last.pth`` as the folder ``out``: model.safetensors and model.json.

    ``subject`` is whose model it is, ``held_out`` the subject that a pretraining file left out: its ridges are
    those of the others, of NSD's eight or of ``config.dataset.sessions``, in ascending order. With ``config``
    each ridge must take as many voxels as its subject has in the dataset's own mask; without, not as many as
    another subject of NSD has.

    UserError where ``out`` exists and is no empty folder, the file is damaged or no such model, or a ridge is another
    subject's; nothing is written then.
    """
    refuse_content(out)
    known = NSD_SUBJECTS if config is None else sorted(config.dataset.sessions)
    asked, option = (subject, "--subject") if held_out is None else (held_out, "--held-out")
    if asked not in known:
        raise UserError(f"{option} {asked}: no subject of the dataset; choose from {', '.join(map(str, known))}")
    subjects = [asked] if held_out is None else [other for other in known if other != asked]

    state = read_released(file)
    check_archive(file, remedy="download it again")
    _check_ridges(file, released_sizes(state, origin=file)["voxels"], subjects, config)
    groups = GROUPS if config is None else config.model.lowlevel_groups
    model = from_released(state, subjects=subjects, lowlevel_groups=groups, origin=file)
    model.metadata["origin"] = {"file": file.name, "sha256": sha256_with_progress(file)}
    with draft(out) as folder:
        model.save(folder)
    return model


def export_weights(folder: Path, out: Path) -> None:
    """Write the model in ``folder`` as a released file; one that was imported gives back every bit it held.

    UserError where ``out`` exists or the model's backbone is none that released files hold.
    """
    if out.exists():
        raise UserError(f"{out}: exists already; choose another --out, or remove it first")
    state = to_released(MindEye.load(folder))
    with draft(out) as file:
        write_released(file, state)


def describe(model: MindEye) -> str:
    """One line on whose model it is and how large."""
    sizes = model.sizes
    heads = [name for name, part in (("retrieval", model.retrieval), ("low-level branch", model.lowlevel)) if part]
    return (
        f"{named(model.subjects)} with {', '.join(map(str, sizes['voxels']))} voxels, h={sizes['hidden_dim']}, "
        f"{sizes['num_blocks']} blocks, {', '.join(['prior', *heads])}"
    )


def _check_ridges(file: Path, voxels: Sequence[int], subjects: Sequence[int], config: Config | None) -> None:
    if len(voxels) != len(subjects):
        raise UserError(
            f"{file}: holds {len(voxels)} ridge{'s' if len(voxels) > 1 else ''} where {named(subjects)} "
            f"{'is' if len(subjects) == 1 else 'are'} expected; use --subject for one subject's model, --held-out for "
            "a pretraining file, --config for the subjects of another dataset"
        )
    if config is None:
        for subject, count in zip(subjects, voxels, strict=True):
            owner = next((other for other, known in VOXELS.items() if known == count), subject)
            if owner != subject:
                raise UserError(
                    f"{file}: the ridge of subject {subject} takes {count} voxels, as many as NSD's subject {owner} "
                    "has; it is another subject's model, so correct --subject or --held-out"
                )
        return
    root = Path(config.paths.dataset).expanduser()
    for subject, count in zip(subjects, voxels, strict=True):
        path, there = count_voxels(root, config.dataset.source, subject)
        if count != there:
            raise UserError(
                f"{file}: the ridge of subject {subject} takes {count} voxels, but {path} has {there}; "
                "it is another subject's model or was made with another mask"
            )


def named(subjects: Sequence[int]) -> str:
    """``subject 1`` or ``subjects 2, 5``."""
    return f"subject{'s' if len(subjects) > 1 else ''} {', '.join(map(str, subjects))}"
