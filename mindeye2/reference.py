"""``config/README.md``, written from the models, so that the page and the settings cannot drift apart."""

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from mindeye2.config import Config
from mindeye2.presets import PRESETS
from mindeye2.section import Section

INTRODUCTION = """# Settings

A configuration is a YAML file with these sections. What it leaves out keeps the default, and the defaults are
those of the paper. `mindeye2 plan --config FILE --set section.field=value` shows what a change would rebuild.
Numbers are never read from text: YAML takes `1e-4` for a word, so write `1.0e-4`.

| file | builds |
|---|---|
| `paper.yaml` | the paper's main table, from the official NSD tree |
| `light.yaml` | the same table with the authors' light model, on one 24 GB GPU |
| `ablations.yaml` | the paper's ablations: Tables 4, 5, 6, 10 and 11 |
| `unclip.yaml` | the paper's unCLIP training on NSD's own pictures, and Table 9 |
| `demo.yaml` | the same shape in minutes, on a simulated NSD |
| `controls.yaml` | on the miniature: what must fall to chance, what a linear map reaches, and Table 9 |
| `backbones.yaml` | on the miniature: the backbones beside each other, over several seeds |
| `haxby.yaml` | leave one run out on real fMRI of one subject |

*Free* settings change how long a stage takes or what it prints, never what it stores.

`preset: NAME`, at the top of a file or of a variant, stands for the settings below; what the file or the variant
says itself wins. [docs/fidelity.md](../docs/fidelity.md) gives the reason for each.

"""


def config_reference() -> str:
    """Markdown: one table per section, one row per field with its default and its docstring."""
    parts = [INTRODUCTION, "| preset | settings |\n|---|---|\n"]
    for name, sections in PRESETS.items():
        settings = (f"`{section}: {_flow(values)}`" for section, values in sections.items())
        parts.append(f"| `{name}` | {', '.join(settings)} |\n")
    for name, field in Config.model_fields.items():
        section = next(
            kind
            for kind in (field.annotation, *getattr(field.annotation, "__args__", ()))
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        )
        parts.append(f"\n## {name}\n\n{_paragraph(section.__doc__)}\n\n| field | default | meaning |\n|---|---|---|\n")
        parts.extend(_rows(section))
    return "".join(parts)


def _rows(section: type[Section], under: str = "") -> list[str]:
    rows = []
    for name, field in section.model_fields.items():
        if isinstance(field.default, Section):
            rows += _rows(type(field.default), f"{under}{name}.")
            continue
        default = field.get_default(call_default_factory=True)
        shown = "required" if default is PydanticUndefined else f"`{_plain(default)}`"
        free = " *Free.*" if (field.json_schema_extra or {}).get("unkeyed") else ""
        rows.append(f"| `{under}{name}` | {shown} | {_paragraph(field.description)}{free} |\n")
    return rows


def _flow(values: dict[str, object]) -> str:
    import yaml

    return yaml.safe_dump(values, default_flow_style=True, sort_keys=False, width=1000).strip()


def _plain(value: object) -> object:
    if isinstance(value, Section):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _paragraph(text: str | None) -> str:
    return " ".join((text or "").split())
