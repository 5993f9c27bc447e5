"""What the processes run that tests/test_parallel.py starts with mpirun: `train OUT`, or `fault KIND ARGUMENTS...`."""

import sys
from pathlib import Path

import numpy as np
from small import SMALL

import convbert_np as cb
from convbert_np import cli
from convbert_np.training import loop
from convbert_np.training.corpus import Corpus
from convbert_np.training.loop import Settings
from convbert_np.training.parallel import MpiRanks, mpi_ranks
from convbert_np.training.pretraining import pretrain

# objective, dropout, parts of a batch. 7 rows do not divide evenly, nor do 3 parts over two ranks.
CASES = [("mlm", 0.1, 2), ("mlm", 0.1, 3), ("rtd", 0.1, 2), ("mlm", 0.0, 2)]
STEPS = 20


def corpus():
    """Rows with different numbers of tokens that may be masked, so that the parts have different weights."""
    rng = np.random.default_rng(1)
    ids = rng.integers(5, 31, (23, 40)).astype(np.int32)
    ids[rng.random(ids.shape) < np.linspace(0, 0.7, 23)[:, None]] = 3
    ids[:, 0], ids[:, -1], ids[:, 5] = 2, 3, 7
    return Corpus(ids, (0, 1, 2, 3, 4), 4, 0, 31)


def trained(objective, dropout, parts, ranks=None, directory=None):
    """The parameters after STEPS steps in float64, the records, and the parameters before."""
    fields = SMALL | {"generator_hidden_size": 0.5, "pad_token_id": 0, "max_position_embeddings": 40}
    fields |= {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    model, records = pretrain(
        corpus(), cb.ConvBertConfig(**fields), Settings(STEPS, 1e-3, 2, max_norm=0.5), objective=objective, batch_size=7,
        accumulation=parts, seed=4, dtype=np.float64, ranks=ranks, directory=directory,
    )  # fmt: skip
    before = {name: p.copy() for name, p in model.named_parameters().items()}
    return model.named_parameters(), list(records), before


def train(out: str) -> int:
    """Each case, on each rank, into a file of its own."""
    ranks = mpi_ranks()
    for number, case in enumerate(CASES):
        params, records, _ = trained(*case, ranks)
        losses = np.array([record["loss"] for record in records])
        np.savez(Path(out) / f"{number}-{ranks.rank}.npz", losses=losses, **params)
    return 0


def fault(kind: str, *arguments: str) -> int:
    """The command line, in which one rank meets an error in its third step."""
    rank, save, compute, add = mpi_ranks().rank, loop.save_state, loop.gradients, MpiRanks.sum

    def gradients(model, parts, step, recompute):
        if step == 2 and rank == 1 and kind == "nan":
            model.params["generator_lm_head"]["bias"][7] = np.nan
        if step == 2 and rank == 1 and kind == "error":
            raise RuntimeError("planted on rank 1")
        return compute(model, parts, step, recompute)

    def save_state(directory, state, recorded):
        if kind == "disk":
            raise OSError("planted: the disk is full")
        save(directory, state, recorded)

    def sum_up(self, grads, losses):
        if rank == 1 and kind == "between":
            raise RuntimeError("planted where the ranks agree on nothing")
        if rank == 1 and kind == "drift":
            grads = {name: 1.5 * grad for name, grad in add(self, grads, losses)[0].items()}
            return grads, losses
        return add(self, grads, losses)

    loop.gradients, loop.save_state, MpiRanks.sum = gradients, save_state, sum_up
    return cli.main(arguments)


if __name__ == "__main__":
    sys.exit({"train": train, "fault": fault}[sys.argv[1]](*sys.argv[2:]))
