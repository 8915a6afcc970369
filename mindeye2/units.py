"""Amounts as people read and write them."""

import re

UNITS = ("KiB", "MiB", "GiB", "TiB")
_STATED = re.compile(r"(\d+(?:\.\d+)?) ?([kKMGTP]i?)?B")


def show_bytes(count: int) -> str:
    """``3221225472`` -> ``3.0 GiB``."""
    if count < 1000:
        return f"{count} B"
    power = next((power for power in range(1, len(UNITS)) if count / 1024**power < 1000), len(UNITS))
    return f"{count / 1024**power:.1f} {UNITS[power - 1]}"


def counted(count: int, noun: str) -> str:
    """``1 object``, ``2 objects``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def read_bytes(text: str) -> int:
    """``"2 TB"`` -> 2 * 1000**4, ``"2 TiB"`` -> 2 * 1024**4; ValueError where it is no amount."""
    found = _STATED.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no amount of storage; write for example 500 GB or 2 TiB")
    number, prefix = found[1], found[2] or ""
    return round(float(number) * (1024 if prefix.endswith("i") else 1000) ** " KMGTP".index(prefix[:1].upper() or " "))
