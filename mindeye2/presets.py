"""Named sets of settings, for ``preset: NAME`` at the top of a configuration, whose own settings win.

A preset is in no key: only the settings that it stands for are. ``docs/fidelity.md`` says what each of them means.
"""

from typing import Any

RELEASED: dict[str, dict[str, Any]] = {
    "betas": {"scope": "session", "statistics": "training", "dtype": "float32"},
    "targets": {"pixel_range": "legacy01"},
    "model": {"backbone": "legacy_mixer"},
    "reconstruct": {
        "repeats": "legacy",
        "prior_steps": 20,
        "steps": 38,
        "guidance": 5.0,
        "unconditional": "legacy",
    },
    "refine": {"steps": 25, "strength": 0.5, "guidance": 5.0},
    "evaluate": {"repeats": "legacy", "antialias": False, "blend_weight": 0.25},
}
"""What the released weights need, and how their published numbers were taken."""

TRAINING: dict[str, Any] = {
    "trials_per_session": 750,
    "mixing_targets": "legacy",
    "decay_groups": "legacy",
    "lr_schedule": "cycle",
    "cycle_beta1": True,
}

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "released": RELEASED,
    "original": RELEASED | {"pretrain": TRAINING, "finetune": TRAINING},
}
"""``original`` also trains as the published code did."""
