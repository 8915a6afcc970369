import csv

import numpy as np
import pytest
from PIL import Image

from mindeye2.train.history import COLUMNS, plot_history, write_history


def row(epoch, **parts):
    return {"epoch": epoch, "step": 10 * epoch, "loss": 60.0 / epoch, "lr": 1e-4, "seconds": 1.234, **parts}


def test_rows_come_back_and_untrained_parts_are_empty(tmp_path):
    write_history(tmp_path / "history.csv", [row(1, prior=1 / 3), row(2, prior=0.25)])
    write_history(tmp_path / "history.csv", [row(1, prior=1 / 3), row(2, prior=0.25), row(3, prior=0.125)])
    table = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert tuple(table[0]) == COLUMNS
    assert [each["prior"] for each in table] == ["0.333333", "0.25", "0.125"]
    assert [each["step"] for each in table] == ["10", "20", "30"]
    assert table[0]["clip"] == table[0]["brain_to_image"] == ""
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("parts", [{}, {"clip": 2.0, "brain_to_image": 0.5, "image_to_brain": 0.25}])
def test_a_picture_of_any_history(tmp_path, epochs, parts):
    rows = [row(epoch, prior=1.0, **parts) for epoch in range(1, epochs + 1)]
    plot_history(tmp_path / "loss.png", rows, mixing_epochs=1, title="finetune of subject 1")
    pixels = np.asarray(Image.open(tmp_path / "loss.png").convert("L"))
    assert pixels.shape[1] > 1000
    assert (pixels < 128).any()
