"""Which repositories are popular, as the history of a server would know it."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest

from .demand import HALF_LIFE

__all__ = ["Popularity", "divided"]


class Popularity:
    """The popularity of repositories, and their newest images.

    Parameters
    ----------
    scores : sequence of float
        At the beginning, by repository.
    newest : sequence of int
        The image of each repository at the beginning; -1: none that is built.
    """

    def __init__(self, scores: Sequence[float], newest: Sequence[int]) -> None:
        # Instead of old launches counting less, newer ones count more.
        self._scores = list(scores)
        self._newest = list(newest)

    def launched(self, repository: int, image: int, now: float) -> bool:
        """Count a launch. Return whether it is the first one of a new image."""
        self._scores[repository] += 2.0 ** (now / HALF_LIFE)
        is_new = self._newest[repository] != image
        self._newest[repository] = image
        return is_new

    def ranking(self, most: int) -> list[tuple[int, float]]:
        """Return the images of the most popular repositories and their scores, best first."""
        known = [n for n, score in enumerate(self._scores) if score > 0 and self._newest[n] >= 0]
        best = nlargest(most, known, key=lambda n: (self._scores[n], -n))
        return [(self._newest[n], self._scores[n]) for n in best]

    def images_of(self, repositories: Sequence[int]) -> list[tuple[int, float]]:
        """Return the newest images of these repositories, and their scores, at least 1 each."""
        return [
            (self._newest[n], max(self._scores[n], 1.0))
            for n in repositories
            if self._newest[n] >= 0
        ]


def divided(count: int, among: Sequence[tuple[int, float]]) -> dict[int, int]:
    """Divide standing servers among images, in proportion to their scores (D'Hondt).

    Parameters
    ----------
    count : int
    among : sequence of (int, float)
        Images and scores.

    Returns
    -------
    dict of int to int
        How many each image gets; only those that get any.
    """
    given: dict[int, int] = {}
    for _ in range(count if among else 0):
        image, _ = max(among, key=lambda each: each[1] / (given.get(each[0], 0) + 1))
        given[image] = given.get(image, 0) + 1
    return given
