"""Similarity of a predicted caption to the true one: ROUGE of Lin (2004)."""

import re
from collections import Counter


def rouge_1(predicted: str, truth: str) -> float:
    """F1 of the words that both captions hold, counted with their multiplicity."""
    left, right = words(predicted), words(truth)
    return _f1((Counter(left) & Counter(right)).total(), len(left), len(right))


def rouge_l(predicted: str, truth: str) -> float:
    """F1 of the longest common subsequence of words."""
    left, right = words(predicted), words(truth)
    return _f1(_longest_common_subsequence(left, right), len(left), len(right))


def words(text: str) -> list[str]:
    """Runs of letters a-z and digits, lower case, as the rouge_score package cuts a text without stemming."""
    return re.findall(r"[a-z0-9]+", text.lower())


def _f1(common: int, predicted: int, truth: int) -> float:
    return 2 * common / (predicted + truth) if common else 0.0


def _longest_common_subsequence(left: list[str], right: list[str]) -> int:
    row = [0] * (len(right) + 1)
    for word in left:
        before = row
        row = [0]
        for j, other in enumerate(right):
            row.append(before[j] + 1 if word == other else max(row[j], before[j + 1]))
    return row[-1]
