"""Amounts of storage, read and written."""

import pytest

from mindeye2.units import counted, read_bytes, show_bytes


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("12 B", 12),
        ("2 TB", 2 * 10**12),
        ("1.5GiB", 3 << 29),
        ("500 kB", 500_000),
        ("1 KiB", 1024),
        ("3PB", 3 * 10**15),
    ],
)
def test_amounts_are_read(text, count):
    assert read_bytes(text) == count


@pytest.mark.parametrize("text", ["", "2", "2 Tb", "-1 GB", "1e3 GB", "two TB", "1 GB or so"])
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match="no amount of storage"):
        read_bytes(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (3 << 30, "3.0 GiB"),
        (3 << 40, "3.0 TiB"),
        (3 << 60, "3145728.0 TiB"),
    ],
)
def test_amounts_are_shown(count, text):
    assert show_bytes(count) == text


def test_one_thing_is_counted_as_one():
    assert [counted(number, "object") for number in (0, 1, 2)] == ["0 objects", "1 object", "2 objects"]
