"""Faces followed from one live picture to the next, and what the net says of each, smoothed over time.

One smoothing, here in the kernel: the word on a box, the bars and the line that is read aloud come from the same
numbers.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from fer_lib.predict import Face, Reading

OVERLAP = 0.3
"""Least overlap (intersection over union) of the squares of one face in two pictures."""
FORGOTTEN = 1.0
"""Seconds after which a face that was not seen is another one."""
NOT_SURE = "not sure"


@dataclass
class Track:
    """A face that is followed.

    Attributes:
        number: from 1, in the order in which faces appeared.
        face: where it was last.
        probabilities: smoothed, class name to probability; empty without a net.
        seen: when, in seconds.
    """

    number: int
    face: Face
    probabilities: dict[str, float]
    seen: float


@dataclass
class Tracker:
    """Follows the faces of a film.

    Attributes:
        smoothing: seconds in which a probability covers two thirds of its way to what the net now says; 0 for none.
        tracks: the faces followed.
    """

    smoothing: float = 0.5
    tracks: list[Track] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=partial(itertools.count, 1))

    def follow(self, readings: Sequence[Reading], now: float) -> list[tuple[int, Reading]]:
        """Match the faces of a picture with those before it, the best overlap first.

        Args:
            readings: of one picture.
            now: when it was taken, in seconds of any clock.

        Returns:
            In the same order, the number of each face, and the reading with its probabilities smoothed.
        """
        self.tracks = [track for track in self.tracks if now - track.seen <= FORGOTTEN]
        pairs = sorted(
            (
                (overlap(track.face.square, reading.face.square), i, j)
                for i, reading in enumerate(readings)
                for j, track in enumerate(self.tracks)
            ),
            reverse=True,
        )
        known: dict[int, Track] = {}
        taken: set[int] = set()
        for shared, i, j in pairs:
            if shared >= OVERLAP and i not in known and j not in taken:
                known[i] = self.tracks[j]
                taken.add(j)
        followed = []
        for i, reading in enumerate(readings):
            track = known.get(i)
            if track is None:
                track = Track(next(self._numbers), reading.face, reading.probabilities, now)
                self.tracks.append(track)
            elif track.probabilities.keys() != reading.probabilities.keys():  # another net
                track.probabilities = reading.probabilities
            else:
                new = 1 - math.exp((track.seen - now) / self.smoothing) if self.smoothing else 1.0
                track.probabilities = {
                    name: (1 - new) * track.probabilities[name] + new * share
                    for name, share in reading.probabilities.items()
                }
            track.face, track.seen = reading.face, now
            followed.append((track.number, replace(reading, probabilities=track.probabilities)))
        return followed


def overlap(first: tuple[float, float, float], second: tuple[float, float, float]) -> float:
    """Intersection over union of two squares, each its left, top and side."""
    low = np.maximum(first[:2], second[:2])
    high = np.minimum(np.add(first[:2], first[2]), np.add(second[:2], second[2]))
    shared = float(np.prod(np.clip(high - low, 0, None)))
    union = first[2] ** 2 + second[2] ** 2 - shared
    return shared / union if union else 0.0


def word(reading: Reading, sure: float) -> str:
    """The most probable class; :data:`NOT_SURE` where its probability is below ``sure``; empty without a net."""
    if reading.label and reading.probabilities[reading.label] < sure:
        return NOT_SURE
    return reading.label
