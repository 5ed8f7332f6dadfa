"""Write what is published, open it, and compare: `python -m benchmarks.zoo`, or one part, such as `run_files`.

Prints a table for each part, and ends with the number of rows that are not as expected.
"""

import sys
import tempfile
import warnings
from pathlib import Path

from benchmarks.zoo import checkpoints, collection_cases, run_files
from pipeline.training.devices import quiet_libraries

PARTS = {
    "checkpoints": (checkpoints.rows, "| folder | expected | train.py | evaluate.py | |\n|---|---|---|---|---|"),
    "collections": (collection_cases.rows, "| collection | expected | found | |\n|---|---|---|---|"),
    "run_files": (run_files.rows, "| run file or judgements | expected | found | |\n|---|---|---|---|"),
}


def main() -> int:
    """Print one table a part; return how many rows are not as expected."""
    quiet_libraries()
    warnings.filterwarnings("ignore")
    return sum(_part(name) for name in sys.argv[1:] or PARTS)


def _part(name: str) -> int:
    rows, head = PARTS[name]
    print(head)
    right = []
    with tempfile.TemporaryDirectory() as place:
        for *words, as_expected in rows(Path(place)):
            cells = [str(word).replace(f"{place}/", "") for word in [*words, "right" if as_expected else "WRONG"]]
            print(f"| {' | '.join(cells)} |", flush=True)
            right.append(as_expected)
    print(f"\n{name}: {len(right)}, of which {right.count(False)} not as expected.\n")
    return right.count(False)


if __name__ == "__main__":
    sys.exit(main())
