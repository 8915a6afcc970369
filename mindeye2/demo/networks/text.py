"""Tokenisers with a closed vocabulary: CLIP's byte-pair encoding, one token a word, and GIT's word list."""

import gzip
from collections import Counter
from itertools import pairwise
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from mindeye2.frozen.tokenizer import CONTEXT


def merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte-pair merges that make one token of every word: the commonest pair first, ties in alphabetical order."""
    split = [(*word[:-1], f"{word[-1]}</w>") for word in sorted(set(words))]
    found: list[tuple[str, str]] = []
    while pairs := Counter(pair for word in split for pair in pairwise(word)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        found.append(best)
        split = [_merged(word, best) for word in split]
    return found


def _merged(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    symbols: list[str] = []
    for symbol in word:
        if symbols and (symbols[-1], symbol) == pair:
            symbols[-1] += symbol
        else:
            symbols.append(symbol)
    return tuple(symbols)


def write_merges(found: list[tuple[str, str]], path: Path) -> None:
    """The file that open_clip's ``SimpleTokenizer`` reads: a heading, then one merge a line, no line end after."""
    text = "\n".join(["#version: 0.2", *map(" ".join, found)])
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def vocab_size(found: list[tuple[str, str]]) -> int:
    """Bytes, bytes that end a word, merges, start and end."""
    return 512 + len(found) + 2


def word_tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    """One id a word, after padding, unknown, start and end; encodes as ``[CLS] words [SEP]``."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {word: index for index, word in enumerate([*special, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=CONTEXT,
    )
