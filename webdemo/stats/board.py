"""A short text that the supervisor writes and every server process reads, in the run's shared memory."""

from __future__ import annotations

BOARD_BYTES = 1 << 16
_NUMBER = 0  # odd while the text is being written
_LENGTH = 1
_WORD = 8


class Board:
    """One process writes, many read, without a lock: a reader repeats what it read while it was written."""

    def __init__(self, memory: memoryview) -> None:
        self._words = memory[: 2 * _WORD].cast("Q")
        self._text = memory[2 * _WORD :]

    def write(self, text: bytes) -> None:
        """Raises ValueError for a text that does not fit."""
        if len(text) > len(self._text):
            raise ValueError(f"{len(text)} bytes do not fit")
        self._words[_NUMBER] += 1
        self._text[: len(text)] = text
        self._words[_LENGTH] = len(text)
        self._words[_NUMBER] += 1

    def read(self) -> bytes:
        while True:
            before = self._words[_NUMBER]
            text = bytes(self._text[: self._words[_LENGTH]])
            if before % 2 == 0 and before == self._words[_NUMBER]:
                return text
