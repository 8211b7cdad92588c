"""The command line: `python -m benchmarks [names] [--quick] [--markdown]`."""

import argparse
import datetime
import importlib
import os
import platform
from pathlib import Path

import torch

from benchmarks.measure import Settings

NAMES = ["ode", "sde", "training", "marginal", "samplers", "diffusion", "digits", "search", "check", "grading"]
ABOUT = """\
Every number is a ratio of times: 0.50 is half the base's time, 2.00 twice. The base is the first row of its table,
its own time stands in the title. Candidates take turns in one process; the ratio is the median over the rounds, and
beside it stand the lowest and the highest. Peak memory is measured in a process of its own. benchmarks/README.md says
more. No benchmark fails because something is slow, only because something is wrong.
"""


def machine(threads: int) -> str:
    """What the numbers depend on, in a line."""
    where = [f"{os.cpu_count()} cores", _processor(), f"{threads} thread{'s' * (threads != 1)}"]
    if torch.cuda.is_available():
        where.append(torch.cuda.get_device_name())
    versions = f"Python {platform.python_version()}, PyTorch {torch.__version__}"
    return f"{datetime.date.today()}: {', '.join(where)}; {versions}."


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="How fast the course is, against its peers and the naive way.",
        epilog=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that everything runs, measures nothing")
    parser.add_argument("--rounds", type=int, help="how often candidates take turns (default: 5)")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch on the CPU (default: 1)")
    parser.add_argument("--markdown", action="store_true", help="print tables that can be pasted into a page")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"there is no benchmark called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if options.threads < 1 or (options.rounds is not None and options.rounds < 1):
        parser.error("--threads and --rounds are at least 1")
    rounds = options.rounds or (2 if options.quick else 5)
    settings = Settings(options.threads, rounds, options.quick)
    rounds_said = f"{rounds} round{'s' * (rounds != 1)}"
    print(
        machine(options.threads), rounds_said, "(quick: sizes too small to mean anything)" * options.quick, end="\n\n"
    )
    for name in options.names or NAMES:
        for table in importlib.import_module(f"benchmarks.{name}").tables(settings):
            print(table.markdown() if options.markdown else table.text(), flush=True)


if __name__ == "__main__":
    main()
