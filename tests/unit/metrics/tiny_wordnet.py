"""An nltk data folder with a WordNet of a few nouns and a sentence splitter that knows one abbreviation."""

from pathlib import Path

SYNSETS = (("dog", "hound"), ("boat", "ship"))
"""Words that are their own stems: nltk looks synonyms up by stem."""
PARTS = ("noun", "verb", "adj", "adv")


def write(folder: Path) -> Path:
    wordnet, punkt = folder / "corpora" / "wordnet", folder / "tokenizers" / "punkt_tab" / "english"
    for made in (wordnet, punkt):
        made.mkdir(parents=True)
    (wordnet / "lexnames").write_text("00\tadj.all\t3\n01\tadj.pert\t3\n02\tadv.all\t4\n03\tnoun.Tops\t1\n")
    for name in ("index.sense", "cntlist.rev"):
        (wordnet / name).write_text("")
    for part in PARTS:
        (wordnet / f"{part}.exc").write_text("")
        (wordnet / f"index.{part}").write_text("")
        (wordnet / f"data.{part}").write_text("  1 WordNet 3.0 Copyright 2006\n")
    data, index = (wordnet / "data.noun").read_text(), []
    for words in SYNSETS:
        index += [f"{word} n 1 0 1 0 {len(data):08d}\n" for word in words]
        named = " ".join(f"{word} 0" for word in words)
        data += f"{len(data):08d} 03 n {len(words):02x} {named} 000 | a gloss\n"
    (wordnet / "data.noun").write_text(data)
    (wordnet / "index.noun").write_text("".join(sorted(index)))

    (punkt / "abbrev_types.txt").write_text("st\n")
    (punkt / "sent_starters.txt").write_text("the\n")
    (punkt / "collocations.tab").write_text("")
    (punkt / "ortho_context.tab").write_text("")
    return folder
