"""Similarity of two captions: ROUGE (Lin 2004) and METEOR (Lavie and Agarwal 2007).

The published values come from Hugging Face's ``evaluate``, which wraps the libraries used here.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mindeye2.errors import UserError


def rouge_1(predicted: str, truth: str) -> float:
    """F1 of the words that both captions hold, counted with their multiplicity, without stemming."""
    return float(_rouge("rouge1").score(truth, predicted)["rouge1"].fmeasure)


def rouge_l(predicted: str, truth: str) -> float:
    """F1 of the longest common subsequence of words, without stemming."""
    return float(_rouge("rougeL").score(truth, predicted)["rougeL"].fmeasure)


@cache
def _rouge(kind: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind])


@dataclass(frozen=True)
class Words:
    """What METEOR knows of English: where a sentence ends, how it is cut into words, which words mean the same."""

    sentences: Any
    words: Any
    wordnet: Any

    def split(self, text: str) -> list[str]:
        """The words of each sentence, as nltk's ``word_tokenize`` cuts them."""
        return [word for sentence in self.sentences.tokenize(text) for word in self.words.tokenize(sentence)]


def load_words(place: str | Path) -> Words:
    """Read ``corpora/wordnet`` and ``tokenizers/punkt_tab`` of an nltk data folder, packed or unpacked.

    UserError names the one that is missing or damaged, or that nltk refuses.
    """
    from nltk.corpus.reader.wordnet import WordNetCorpusReader
    from nltk.tokenize import NLTKWordTokenizer
    from nltk.tokenize.punkt import PunktSentenceTokenizer, load_punkt_params

    sentences = PunktSentenceTokenizer(_nltk_data(place, "tokenizers/punkt_tab/english", load_punkt_params))
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # other languages are not asked for
        wordnet = _nltk_data(place, "corpora/wordnet", lambda root: WordNetCorpusReader(root, None))
    return Words(sentences, NLTKWordTokenizer(), wordnet)


def _nltk_data(place: str | Path, part: str, read: Callable[[Any], Any]) -> Any:
    import nltk.data

    # nltk opens only files below these folders, and only where no other account could have put them.
    if str(place) not in nltk.data.path:
        nltk.data.path.insert(0, str(place))
    try:
        return read(nltk.data.find(f"{part}/", paths=[str(place)]))
    except LookupError:
        name = part.split("/")[1]
        raise UserError(
            f"{place}: nltk finds no {part} that it may read; fetch it with nltk.download('{name}', download_dir=...) "
            "into a folder that only you can write to (chmod -R go-w)"
        ) from None
    except (OSError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{place}: {part} is damaged ({reason}); fetch it again") from None


def meteor(predicted: str, truth: str, *, words: Words) -> float:
    """METEOR with α = 0.9, β = 3, γ = 0.5: 0 without a match.

    Words match as they are, then by stem, then stems as synonyms.
    """
    from nltk.translate.meteor_score import single_meteor_score

    pair = words.split(truth), words.split(predicted)
    return single_meteor_score(*pair, wordnet=words.wordnet, alpha=0.9, beta=3.0, gamma=0.5)
