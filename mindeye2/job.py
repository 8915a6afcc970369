"""What a stage module is handed: its settings, its finished inputs, where raw data lies, where to write."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from mindeye2.section import Section

S = TypeVar("S", bound=Section)


@dataclass(frozen=True)
class Job:
    """One object to build.

    ``config`` is the keyed part of the frozen spec and ``free`` holds the unkeyed fields of its sections;
    ``inputs`` maps each role to finished store objects (folders, read-only), ``paths`` says where the dataset,
    captions and weights lie, ``networks`` where those networks lie that may be absent and were there when the key
    was made, and an imported model. Everything is written below ``work``, which survives a kill: checkpoints live
    there too and are found again.
    """

    stage: str
    key: str
    config: Mapping[str, Any]
    inputs: Mapping[str, list[Path]]
    paths: Mapping[str, Path]
    work: Path
    free: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    networks: Mapping[str, Path] = field(default_factory=dict)

    def settings(self, section: type[S]) -> S:
        """The section of that class, e.g. ``job.settings(Finetune)``."""
        name = section.__name__.lower()
        return section.from_keyed({**self.config[name], **self.free.get(name, {})})

    def input(self, role: str) -> Path:
        """The one object of a role that has exactly one."""
        (folder,) = self.inputs[role]
        return folder

    def optional(self, role: str) -> Path | None:
        """The object of a role that may be absent (the teacher, a pretrained model)."""
        return self.input(role) if self.inputs.get(role) else None
