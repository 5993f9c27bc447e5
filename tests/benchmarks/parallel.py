"""What a step of pre-training costs in one process with two threads, and in two ranks with one thread each, in turn.

python tests/benchmarks/parallel.py --size small --rows 32 --steps 12        needs MPI, mpi4py
"""

import argparse
import os
import statistics
import subprocess
import sys

import numpy as np

from convbert_np.training.corpus import Corpus
from convbert_np.training.loop import Settings
from convbert_np.training.parallel import alone, launched, mpi_ranks
from convbert_np.training.pretraining import pretrain
from convbert_np.training.sizes import SIZES, config_of_size

VOCABULARY, LENGTH = 8000, 128


def one_side(parsed: argparse.Namespace) -> None:
    """The median time of a step, without the first two."""
    ranks = mpi_ranks() if launched() > 1 else alone()
    ids = np.random.default_rng(0).integers(5, VOCABULARY, (256, LENGTH)).astype(np.int32)
    corpus = Corpus(ids, (0, 1, 2, 3, 4), 4, 0, VOCABULARY)
    config = config_of_size(parsed.size, VOCABULARY, max_position_embeddings=LENGTH)
    settings = Settings(parsed.steps + 2, 1e-4)
    _, records = pretrain(corpus, config, settings, batch_size=parsed.rows, accumulation=parsed.parts, ranks=ranks)
    seconds = [record["seconds"] for record in records][2:]
    if ranks.rank == 0:
        print(statistics.median(seconds))


def run(parsed: argparse.Namespace, ranks: int, threads: int, parts: int) -> float:
    """The median time of a step of one side, in a run of its own."""
    command = [
        sys.executable,
        __file__,
        "--side",
        "--size",
        parsed.size,
        "--rows",
        str(parsed.rows),
        "--steps",
        str(parsed.steps),
    ]
    command = (["mpirun", "-n", str(ranks)] if ranks > 1 else []) + [*command, "--parts", str(parts)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    return float(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    """Each side in turn, and the ratio of the two in each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=tuple(SIZES), default="small")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--side", action="store_true")
    parsed = parser.parse_args()
    if parsed.side:
        one_side(parsed)
        return
    sides = {"1 process, 1 thread": (1, 1, 1), "1 process, 2 threads": (1, 2, 1), "2 ranks, 1 thread each": (2, 1, 2)}
    rounds = [{name: run(parsed, *side) for name, side in sides.items()} for _ in range(parsed.rounds)]
    for name in sides:
        times = [each[name] for each in rounds]
        ratios = [each[name] / each["1 process, 2 threads"] for each in rounds]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{name:24s} {statistics.median(times):7.3f} s a step; {statistics.median(ratios):.2f} ({spread}) of 2 threads")


if __name__ == "__main__":
    main()
