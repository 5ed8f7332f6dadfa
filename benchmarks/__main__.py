"""Run the benchmarks, each in a process of its own: `python -m benchmarks`, or `python -m benchmarks encode search`."""

import subprocess
import sys
from pathlib import Path

NOT_BENCHMARKS = {
    "__init__",
    "__main__",
    "timing",
    "router",
    "published_attribution",
    "plain_linear_probe",
    "opened_elsewhere",
}


def main() -> int:
    """Run those named, or all; return how many failed."""
    here = Path(__file__).parent
    files = (path.stem for path in here.glob("*.py") if path.stem not in NOT_BENCHMARKS)
    known = sorted([*files, *(path.parent.name for path in here.glob("*/__main__.py"))])
    chosen = sys.argv[1:] or known
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        print(f"error: there is no benchmark {', '.join(unknown)}; known are {', '.join(known)}.", file=sys.stderr)
        return 2
    return sum(subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode != 0 for name in chosen)


if __name__ == "__main__":
    sys.exit(main())
