"""CLIP's tokeniser for the text towers of SDXL."""

import gzip

from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
CONTEXT = 77
_MERGES = 49152 - 256 - 2
"""Of the published list; its file holds more."""


def clip_tokenizer(merges: list[tuple[str, str]], *, pad: str) -> CLIPTokenizer:
    """Stock ``CLIPTokenizer``; ids as open_clip numbers them, so that the end token has the largest."""
    from open_clip.tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    symbols = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges), START, END]
    vocabulary = {symbol: index for index, symbol in enumerate(symbols)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, pad_token=pad, model_max_length=CONTEXT)


def published_merges() -> list[tuple[str, str]]:
    """The byte-pair merges of OpenAI's CLIP, which all CLIPs share, from the copy that open_clip brings."""
    from open_clip.tokenizer import default_bpe

    with gzip.open(default_bpe(), "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")[1 : _MERGES + 1]
    return [tuple(line.split()) for line in lines]
