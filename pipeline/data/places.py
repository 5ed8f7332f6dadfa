"""Where rows came from, eight bytes a row, so that a complaint at the very end still names file and line."""

from array import array
from bisect import bisect_right


class Places:
    """Places such as `corpus.jsonl, line 3`, most of which differ from the one before in their number alone."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._beginnings: list[str] = []
        self._numbers = array("q")

    def add(self, where: str) -> None:
        """Append the place of one row."""
        beginning, _, number = where.rpartition(" ")
        if not (number.isascii() and number.isdecimal()):
            beginning, number = where, "-1"
        if not self._beginnings or self._beginnings[-1] != beginning:
            self._starts.append(len(self._numbers))
            self._beginnings.append(beginning)
        self._numbers.append(int(number))

    def __getitem__(self, row: int) -> str:
        beginning, number = self._beginnings[bisect_right(self._starts, row) - 1], self._numbers[row]
        return beginning if number < 0 else f"{beginning} {number}"
