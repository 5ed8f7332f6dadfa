"""How long the command line takes to answer when nothing is to be computed."""

import subprocess
import sys

from benchmarks.timing import print_rates, turn_by_turn

COMMANDS = {
    "train.py --cfg job": ["train.py", "--cfg", "job"],
    "train.py --help": ["train.py", "--help"],
    "import torch alone": ["-c", "import torch"],
}


def main() -> None:
    """Time the answers beside the import that they avoid."""

    def answer(arguments: list[str]) -> None:
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)

    ways = {name: lambda arguments=arguments: answer(arguments) for name, arguments in COMMANDS.items()}
    print_rates("Answers of the command line", turn_by_turn(ways, 7), 1, "answers", "train.py --cfg job")


if __name__ == "__main__":
    main()
