"""What a section of settings is: validated once, frozen, and in a stage's key as far as it changes a result.

A field marked ``unkeyed`` changes how long a stage takes or what it prints, never what it stores, and is
left out of the stage's key. A field added after a release is marked ``since(value)`` with the value that
reproduces the old behaviour; at that value it is left out of the key too, so the new option costs nobody
their stored objects.
"""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def unkeyed(default: Any) -> Any:
    """A field that changes cost or output on the screen, never a stored result."""
    return Field(default, json_schema_extra={"unkeyed": True})


def since(default: Any, *, before: Any) -> Any:
    """A field added later: at ``before`` it stays out of the key."""
    return Field(default, json_schema_extra={"before": before})


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    def keyed(self) -> dict[str, Any]:
        """What of this section enters a stage's key: JSON values, defaults included."""
        content = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra or {}
            if extra.get("unkeyed") or ("before" in extra and content[name] == extra["before"]):
                del content[name]
        return content

    def free(self) -> dict[str, Any]:
        """The unkeyed fields: they travel beside a frozen spec, not in it."""
        content = self.model_dump(mode="json")
        fields = type(self).model_fields.items()
        return {name: content[name] for name, field in fields if (field.json_schema_extra or {}).get("unkeyed")}

    @classmethod
    def parse(cls, content: dict[str, Any]) -> "Section":
        """Validate plain YAML or JSON content; text never passes for a number.

        Goes through JSON, where strict validation takes a list for a tuple and "1" for the key 1.
        """
        return cls.model_validate_json(json.dumps(content))

    @classmethod
    def from_keyed(cls, content: dict[str, Any]) -> "Section":
        """The section that ``keyed`` was taken from: a field left out at its ``before`` value gets it back."""
        before = {
            name: field.json_schema_extra["before"]
            for name, field in cls.model_fields.items()
            if field.json_schema_extra and "before" in field.json_schema_extra
        }
        return cls.parse({**before, **content})
