"""Waiting requests in the order in which they are answered."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

_MOST_KEYS = 1024  # that are remembered although nothing of theirs waits


class FairQueue(Generic[T]):
    """The highest priority first; of equal ones the key that got least; of one key the oldest.

    What a key got is told by `charge`. A key that had nothing to do gathers no credit: it comes
    back level with the one whose turn it is.
    """

    def __init__(self) -> None:
        self._queues: dict[tuple[int, str], deque[T]] = {}
        self._got: dict[str, float] = {}
        self._level = 0.0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, item: T, priority: int, key: str) -> None:
        if not any(waiting == key for _, waiting in self._queues):
            self._got[key] = max(self._got.get(key, 0.0), self._level)
        self._queues.setdefault((priority, key), deque()).append(item)
        self._size += 1

    def first(self) -> T | None:
        """Whose turn it is; None where nothing waits."""
        return self._queues[self._turn()][0] if self._queues else None

    def pop(self) -> T:
        """Take out whose turn it is."""
        place = self._turn()
        self._level = max(self._level, self._got[place[1]])
        item = self._queues[place].popleft()
        self._tidy(place)
        return item

    def remove(self, item: T, priority: int, key: str) -> None:
        """Take out one that no longer waits. Raises ValueError if it is not there."""
        self._queues.get((priority, key), deque()).remove(item)
        self._tidy((priority, key))

    def goes_before(self, priority: int, key: str) -> bool:
        """Whether somebody waits who goes before one of this priority and key."""
        if not self._queues:
            return False
        highest, first = self._turn()
        behind = first != key and self._got[first] < self._got.get(key, self._level)
        return highest > priority or (highest == priority and behind)

    def charge(self, key: str, amount: float) -> None:
        """A key got so much."""
        self._got[key] = self._got.get(key, self._level) + amount

    def _turn(self) -> tuple[int, str]:
        highest = max(priority for priority, _ in self._queues)
        keys = [key for priority, key in self._queues if priority == highest]
        return highest, min(keys, key=self._got.__getitem__)

    def _tidy(self, place: tuple[int, str]) -> None:
        self._size -= 1
        if place in self._queues and not self._queues[place]:
            del self._queues[place]
        if len(self._got) > _MOST_KEYS + len(self._queues):
            waiting = {key for _, key in self._queues}
            absent = sorted(self._got.keys() - waiting, key=lambda key: (self._got[key], key))
            for key in absent[: len(self._got) - _MOST_KEYS // 2]:
                del self._got[key]  # those that got least have least to lose
