"""Several processes train one model: each computes some parts of a step's batch, and one sum over all makes the gradients.

Every process holds the whole model and takes the same steps; only the batch is shared out. `Ranks` is one process by itself, so
that the loop has one form; `MpiRanks` are those that `mpirun` started. mpi4py is imported by `mpi_ranks` and nowhere else.
"""

import os
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from typing import Any, TypeVar
from zlib import crc32

import numpy as np

LAUNCHED = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")  # how Open MPI and MPICH tell a process how many it started
FAILED = 1

T = TypeVar("T")


class StoppedElsewhere(RuntimeError):
    """Another rank met an error, which it raises and tells itself; this one stops with it, in silence."""


class Ranks:
    """The processes of a training; here there is one, and nothing to be agreed on.

    rank  this process' number; 0 alone writes files and tells how it goes
    size  how many there are
    """

    rank, size = 0, 1

    def mine(self, parts: Iterable[T]) -> Iterator[T]:
        """The parts that this rank computes: every `size`-th."""
        return islice(parts, self.rank, None, self.size)

    def together(self) -> AbstractContextManager[None]:
        """A block that every rank ends well, or none: an error of one is an error of all."""
        return nullcontext()

    def or_abort(self) -> AbstractContextManager[None]:
        """A block in which an error that the ranks have not agreed on ends all of them at once, so that none waits for ever."""
        return nullcontext()

    def check_same(self, settings: Mapping[str, Any]) -> None:
        """Raise ValueError, naming the first that differs, unless every rank has the settings of rank 0."""

    def check_parameters(self, params: Mapping[str, Any]) -> None:
        """Raise ValueError unless every rank has the parameters of rank 0, to the bit."""

    def sum(self, grads: dict[str, Any], losses: dict[str, float]) -> tuple[dict[str, Any], dict[str, float]]:
        """The sums of gradients and losses over all ranks; the same numbers on each."""
        return grads, losses


class MpiRanks(Ranks):
    """The processes that `mpirun` started.

    comm      an mpi4py communicator
    in_place  mpi4py's mark for a buffer that is both given and received
    """

    def __init__(self, comm: Any, in_place: Any):
        self.comm, self.in_place = comm, in_place
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.agreed = False  # that all stop

    @contextmanager
    def together(self) -> Iterator[None]:
        """See `Ranks`. The lowest of the ranks that met an error raises it, the others StoppedElsewhere."""
        error: Exception | None = None
        try:
            yield
        except Exception as caught:
            error = caught
        told = self.comm.allgather(None if error is None else str(error) or type(error).__name__)
        first = next((rank for rank, message in enumerate(told) if message is not None), None)
        if first is None:
            return
        self.agreed = True
        if first == self.rank and error is not None:
            raise error
        raise StoppedElsewhere(f"rank {first}: {told[first]}") from error

    @contextmanager
    def or_abort(self) -> Iterator[None]:
        """See `Ranks`. The others cannot be asked, for they may wait in another call: they are ended."""
        try:
            yield
        except BaseException:
            if not self.agreed:
                traceback.print_exc()
                self.comm.Abort(FAILED)
            raise

    def check_same(self, settings: Mapping[str, Any]) -> None:
        """See `Ranks`."""
        first = self.comm.bcast(dict(settings))
        with self.together():
            for name in sorted(first.keys() | settings.keys()):
                if first.get(name) != settings.get(name):
                    raise ValueError(
                        f"{name}: is {settings.get(name)!r} on rank {self.rank}, but {first.get(name)!r} on rank 0; start all "
                        "with the same arguments and files"
                    )

    def check_parameters(self, params: Mapping[str, Any]) -> None:
        """See `Ranks`. Each rank takes the steps by itself, and other processors may round in another way."""
        with self.together():
            if not all(isinstance(p, np.ndarray) for p in params.values()):
                raise ValueError("model: is on a device; the ranks add up gradients of NumPy's arrays")
        self.check_same({"checksum of the parameters": checksum(params)})

    def sum(self, grads: dict[str, Any], losses: dict[str, float]) -> tuple[dict[str, Any], dict[str, float]]:
        """See `Ranks`. The gradients travel in one piece, in the dtype of the parameters; the losses in float64."""
        values = np.array(list(losses.values()), np.float64)
        flat = np.concatenate([grad.reshape(-1) for grad in grads.values()])
        for buffer in (values, flat):
            self.comm.Allreduce(self.in_place, buffer)
        return split_like(flat, grads), dict(zip(losses, values.tolist(), strict=True))


def split_like(flat: np.ndarray, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Views of a flat array with the names and shapes of some arrays, in their order."""
    ends = np.cumsum([array.size for array in arrays.values()])
    pieces = np.split(flat, ends[:-1])
    return {name: piece.reshape(array.shape) for (name, array), piece in zip(arrays.items(), pieces, strict=True)}


def checksum(arrays: Mapping[str, Any]) -> int:
    """One number for the bits of some arrays."""
    total = 0
    for array in arrays.values():
        total = crc32(np.ascontiguousarray(array).data, total)
    return total


def mpi_ranks() -> Ranks:
    """The ranks that `mpirun` started, or one alone if it started none.

    Raises ImportError naming the extra if mpi4py, or the MPI under it, is missing; ValueError if mpi4py belongs to another MPI
    than the `mpirun` that started this process, for then every process would think that it is alone.
    """
    try:
        from mpi4py import MPI  # pyright: ignore[reportMissingImports]
    except (ImportError, RuntimeError) as error:  # RuntimeError: it is there, but finds no MPI to load
        raise ImportError(f'mpi: needs MPI and mpi4py ({error}): pip install "convbert-np[mpi]"') from error
    ranks = MpiRanks(MPI.COMM_WORLD, MPI.IN_PLACE)
    if ranks.size == 1 < launched():
        raise ValueError(f"mpi: {launched()} processes were started, but mpi4py sees one: it belongs to another MPI")
    return ranks


def launched() -> int:
    """How many processes the launcher of MPI says that it started; 1 if there is none."""
    return max((int(os.environ[name]) for name in LAUNCHED if os.environ.get(name, "").isdigit()), default=1)


def alone() -> Ranks:
    """One process. Raises ValueError if MPI started more, which would all write the same files."""
    if launched() > 1:
        raise ValueError(f"mpi: {launched()} processes were started by MPI; add --mpi, so that they train one model")
    return Ranks()
