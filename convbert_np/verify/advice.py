"""What leaves speed lying on a machine, and what it would gain: a change of the environment is measured before it is advised."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from convbert_np.verify.blas import Blas, wider_kernels
from convbert_np.verify.rates import rate_with

WORTHWHILE = 1.05
ROUNDS = 5
GAIN, NO_GAIN, UNCLEAR = "gain", "no gain", "unclear"
THREAD_VARIABLES = {"MKL": "MKL_NUM_THREADS", "BLIS": "BLIS_NUM_THREADS", "Accelerate": "VECLIB_MAXIMUM_THREADS"}
# Peak resident memory of a process with the base model in float32, rounded up: a forward pass of one sentence of 128 tokens,
# and a training step of 8 such sentences with AdamW.
FORWARD_BYTES, TRAINING_BYTES = 600 * 10**6, 4 * 10**9

Facts = Mapping[str, Any]
Rate = Callable[[Mapping[str, str]], float | None]


@dataclass(frozen=True)
class Trial:
    """Variables with which the products may be faster, and why."""

    reason: str
    variables: dict[str, str]


@dataclass(frozen=True)
class Advice:
    """A trial and its rates of float32 products in GFLOP/s (medians of the rounds), the median ratio, and the range of ratios."""

    reason: str
    variables: dict[str, str]
    before: float
    after: float
    gain: float
    least: float
    most: float
    verdict: str

    def facts(self) -> dict[str, Any]:
        """The same as a dict."""
        return asdict(self)

    @property
    def assignment(self) -> str:
        """The variables as a shell takes them."""
        return " ".join(f"{name}={value}" for name, value in self.variables.items())

    def __str__(self) -> str:
        rates = f"products: {self.before:.0f} -> {self.after:.0f} GFLOP/s in float32"
        return f"{self.reason}\n{self.assignment} is {self.gain:.1f} times as fast here ({rates})."


# ---- what may be faster


def trials(blas: Blas, processor: Facts, threads: Facts) -> list[Trial]:
    """The changes of the environment that may be faster on this machine."""
    return [trial for trial in (kernels_trial(blas, processor), threads_trial(blas, threads)) if trial is not None]


def kernels_trial(blas: Blas, processor: Facts) -> Trial | None:
    """A kernel set for wider instructions, for narrower ones on AMD, or for a better known processor than ARM's general one."""
    offered = processor["offers"] or []
    wider = wider_kernels(blas, offered)
    if wider is not None:
        better = "AVX-512" if wider == "SKYLAKEX" else "AVX2"
        reason = f"OpenBLAS uses its {blas.kernel_set} kernels ({blas.instructions}), and the processor offers {better}."
        return Trial(reason, {"OPENBLAS_CORETYPE": wider})
    if blas.name == "OpenBLAS" and blas.instructions == "AVX-512" and "AMD" in (processor["model"] or ""):
        reason = f"OpenBLAS uses its {blas.kernel_set} kernels (AVX-512); many AMD processors run those for AVX2 faster."
        return Trial(reason, {"OPENBLAS_CORETYPE": "HASWELL"})
    if blas.name == "OpenBLAS" and (blas.kernel_set or "").lower() == "armv8" and blas.chosen_at_run_time is not False:
        near = "NEOVERSEV1" if "SVE" in offered else "NEOVERSEN1"
        return Trial("OpenBLAS does not know this processor and uses its general kernels (ARMV8).", {"OPENBLAS_CORETYPE": near})
    return None


def threads_trial(blas: Blas, threads: Facts) -> Trial | None:
    """One thread for each core that the process may use, and no more than the container's share of them."""
    used, usable, cores, quota = (
        threads[name] for name in ("blas_threads", "usable_by_this_process", "cores_among_them", "container_quota")
    )
    known = [count for count in (usable, cores, quota) if count]
    if not used or not known or not blas.optimised:
        return None
    best = max(1, int(min(known)))
    variables = {thread_variable(blas): str(best)}
    if used < best:
        return Trial(f"The BLAS uses {count_of(used, 'thread')} of {best}.", variables)
    if used > best:
        limit = f"where the container may use {quota:g} processors" if quota == min(known) else f"on {count_of(best, 'core')}"
        return Trial(f"The BLAS uses {count_of(used, 'thread')} {limit}.", variables)
    return None


def thread_variable(blas: Blas) -> str:
    """The variable that sets the number of threads."""
    if blas.threading == "OpenMP":
        return "OMP_NUM_THREADS"
    return THREAD_VARIABLES.get(blas.name or "", "OPENBLAS_NUM_THREADS")


def count_of(number: int, noun: str) -> str:
    """A number and a noun."""
    return f"{number} {noun}" + "s" * (number != 1)


# ---- measuring it


def measured(tried: Sequence[Trial], rate: Rate = rate_with) -> list[Advice]:
    """Every trial measured; if several are worth while, all of these together, too."""
    found = compared(tried, rate)
    useful = [advice for advice in found if advice.verdict == GAIN]
    if len(useful) > 1:
        everything = {name: value for advice in useful for name, value in advice.variables.items()}
        found += compared([Trial("All of this together.", everything)], rate)
    return found


def compared(tried: Sequence[Trial], rate: Rate) -> list[Advice]:
    """The trials against the environment as it is; they take turns, so that a change in the machine's speed meets all alike."""
    if not tried:
        return []
    rounds = [[rate(variables) for variables in ({}, *(trial.variables for trial in tried))] for _ in range(ROUNDS)]
    before, *after = zip(*rounds, strict=True)
    return [judged(trial, before, rates) for trial, rates in zip(tried, after, strict=True) if None not in (*before, *rates)]


def judged(trial: Trial, before: Sequence[float], after: Sequence[float]) -> Advice:
    """A gain is 5 % in the median, and some in all rounds but one; without the latter the machine is too busy to tell."""
    ratios = sorted(new / old for new, old in zip(after, before, strict=True))
    gain = median(ratios)
    verdict = NO_GAIN if gain < WORTHWHILE else GAIN if ratios[1] > 1 else UNCLEAR
    return Advice(trial.reason, trial.variables, median(before), median(after), gain, ratios[0], ratios[-1], verdict)


# ---- what no variable changes


def remarks(blas: Blas, processor: Facts, numpy_facts: Facts, memory: Facts) -> list[str]:
    """What a different installation or a larger container would change; what it gains cannot be measured from here."""
    found = (
        emulated(processor),
        plain_blas(blas),
        one_kernel_set(blas, processor),
        narrow_loops(numpy_facts, processor),
        too_little_memory(memory),
    )
    return [remark for remark in found if remark is not None]


def emulated(processor: Facts) -> str | None:
    """A build for another processor."""
    if processor["emulation"] in (None, "none seen"):
        return None
    return f"Python is emulated ({processor['emulation']}): a Python built for this processor would be several times as fast."


def plain_blas(blas: Blas) -> str | None:
    """Products without an optimised library."""
    if blas.optimised:
        return None
    return (
        f"NumPy has no optimised BLAS ({blas.name}), and products are most of the work. The wheels of NumPy bring one: "
        "pip install --force-reinstall --only-binary :all: numpy"
    )


def one_kernel_set(blas: Blas, processor: Facts) -> str | None:
    """An OpenBLAS that was built for one processor, and not for this one."""
    narrow = blas.chosen_at_run_time is False and blas.instructions in ("SSE3", "SSE4.2", "AVX", "AVX2")
    wider = "AVX-512" if blas.instructions == "AVX2" else "AVX2"
    if not narrow or wider not in (processor["offers"] or ()):
        return None
    return (
        f"This OpenBLAS was built for one kernel set, {blas.kernel_set} ({blas.instructions}), and the processor offers {wider}: "
        "the wheels of NumPy choose at run time."
    )


def narrow_loops(numpy_facts: Facts, processor: Facts) -> str | None:
    """A NumPy whose own loops cannot use what the processor offers."""
    built, chosen = numpy_facts["built_with"], numpy_facts["chosen_at_run_time"]
    if built is None or chosen is None or "AVX2" not in (processor["offers"] or ()):
        return None
    if {"AVX2", "X86_V3", "X86_V4", "AVX512_SKX"} & {*built, *chosen}:
        return None
    return "NumPy was built without AVX2 for its elementwise loops, which the processor offers: the wheels of NumPy have it."


def too_little_memory(memory: Facts) -> str | None:
    """Less memory than the base model needs."""
    known = {"the container's limit": memory["container_limit"], "the memory": memory["total"]}
    what, least = min(((name, size) for name, size in known.items() if size), key=lambda pair: pair[1], default=("", None))
    if least is None or least >= TRAINING_BYTES:
        return None
    start = f"{what.capitalize()} is {least / 1e9:.1f} GB. The base model needs about"
    training = f"{TRAINING_BYTES / 1e9:.0f} GB for a training step with 8 sentences of 128 tokens"
    if least >= FORWARD_BYTES:
        return f"{start} {training}; forward passes fit."
    return f"{start} {FORWARD_BYTES / 1e9:.1f} GB for a forward pass of one sentence, and {training}."
