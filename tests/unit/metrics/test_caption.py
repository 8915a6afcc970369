"""METEOR on a dictionary of a few words."""

import shutil

import pytest
import tiny_wordnet

from mindeye2.errors import UserError
from mindeye2.metrics.caption import load_words, meteor


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tiny_wordnet.write(tmp_path_factory.mktemp("nltk"))


def test_words_are_cut_sentence_by_sentence(place):
    words = load_words(place)
    assert words.split("The cat sat. The dog ran.") == ["The", "cat", "sat", ".", "The", "dog", "ran", "."]
    assert words.split("A house on St. James, isn't it?") == [
        "A",
        "house",
        "on",
        "St.",
        "James",
        ",",
        "is",
        "n't",
        "it",
        "?",
    ]


@pytest.mark.parametrize(
    ("predicted", "truth", "score"),
    [
        ("a dog on the boat", "a dog on the boat", 1 - 0.5 / 5**3),
        ("A hound on the ship", "a dog on the boat", 1 - 0.5 / 5**3),
        ("two cats", "two cat", 1 - 0.5 / 2**3),
        # 4 of 5 words in two runs: precision and recall 0.8, penalty 0.5 (2 / 4)³.
        ("a cat on the boat", "a dog on the boat", 0.8 * (1 - 0.5 / 2**3)),
        ("a dog", "a dog on the boat", 1 / (0.9 / 0.4 + 0.1) * (1 - 0.5 / 2**3)),
        ("blue", "a cat", 0.0),
        ("", "a cat", 0.0),
    ],
)
def test_meteor(place, predicted, truth, score):
    assert meteor(predicted, truth, words=load_words(place)) == pytest.approx(score, abs=1e-9)


def test_packed_data_are_read_too(place, tmp_path):
    for folder, name in (("corpora", "wordnet"), ("tokenizers", "punkt_tab")):
        (tmp_path / folder).mkdir()
        shutil.make_archive(str(tmp_path / folder / name), "zip", place / folder, name)
    assert meteor("a hound", "a dog", words=load_words(tmp_path)) == pytest.approx(1 - 0.5 / 2**3)


def test_missing_and_damaged_parts_are_named(place, tmp_path):
    folder = shutil.copytree(place, tmp_path / "nltk")
    shutil.rmtree(folder / "tokenizers")
    with pytest.raises(
        UserError, match=r"nltk finds no tokenizers/punkt_tab/english .*nltk\.download\('punkt_tab'"
    ) as told:
        load_words(folder)
    assert "\n" not in str(told.value)
    shutil.copytree(place / "tokenizers", folder / "tokenizers")
    (folder / "corpora/wordnet").chmod(0o775)
    with pytest.warns(RuntimeWarning), pytest.raises(UserError, match=r"corpora/wordnet .*\(chmod -R go-w\)"):
        load_words(folder)
    (folder / "corpora/wordnet").chmod(0o755)
    (folder / "corpora/wordnet/lexnames").write_text("7 noun.Tops 1\n")
    with pytest.raises(UserError, match="corpora/wordnet is damaged"):
        load_words(folder)
