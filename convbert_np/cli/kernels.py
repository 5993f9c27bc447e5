"""Better kernels for the command line tool's own process.

OpenBLAS chooses its kernel set from a list of processor models when it is loaded, and for some processors with AVX-512 it
chooses AVX2 kernels: products then run at half the rate. The variable OPENBLAS_CORETYPE changes this, but only if it is set
before NumPy is loaded: so the tool starts itself again with it. The library never does this, and CONVBERT_NP_KERNELS=default
prevents it.

Which processors these are differs by OpenBLAS' version and build, so no table of models is kept here: by the time a command
runs NumPy is loaded, and OpenBLAS itself says which set it took. Asking it takes about a millisecond.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from convbert_np.verify.blas import find_blas, wider_kernels
from convbert_np.verify.machine import numpy_features, offers

SWITCH = "CONVBERT_NP_KERNELS"
ALLOWED = ("best", "default")
MARKER = "CONVBERT_NP_STARTED_AGAIN"
CHOICE = "OPENBLAS_CORETYPE"


def choose_kernels(environ: Mapping[str, str], arguments: Sequence[str] | None) -> dict[str, str] | None:
    """The variables with which this process should be started again, or None if there is nothing to gain.

    environ    the environment. CONVBERT_NP_KERNELS=default prevents any choice (best, as if unset, allows it), and a kernel
               set that the user has chosen stays
    arguments  what `main` was called with: None if the process is the command line tool, otherwise it belongs to another
               program, which must not be started again

    Variables are returned only if NumPy uses OpenBLAS with AVX2 kernels and both processor and operating system support the
    AVX-512 instructions that its wider kernels need.
    """
    switch = environ.get(SWITCH) or "best"
    if switch not in ALLOWED:
        raise ValueError(f"{SWITCH}: must be one of {', '.join(ALLOWED)}, got {switch!r}")
    if switch == "default" or environ.get(CHOICE) or environ.get(MARKER) or arguments is not None or command_line() is None:
        return None
    blas = find_blas({})
    wider = wider_kernels(blas, offers(numpy_features(), {}))
    return {CHOICE: wider} if blas.instructions == "AVX2" and wider is not None else None


def command_line() -> list[str] | None:
    """The command that started this process; None if it cannot be repeated: a program read from the standard input, or
    arguments that were changed since."""
    given = sys.argv[1:]
    if not sys.executable or sys.argv[0] in ("", "-") or sys.orig_argv[len(sys.orig_argv) - len(given) :] != given:
        return None
    return [sys.executable, *sys.orig_argv[1:]]


def restart_with(variables: Mapping[str, str]) -> None:
    """Start this command again with the variables set, and say so; returns only if the system refuses."""
    command = command_line()
    if command is None or os.environ.get(MARKER):
        return
    shown = " ".join(f"{name}={value}" for name, value in variables.items())
    print(
        f"convbert-np: started again with {shown}, faster kernels for this processor ({SWITCH}=default prevents it)",
        file=sys.stderr,
    )
    environ = {**os.environ, **variables, MARKER: "1"}
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name != "posix":  # there execve gives the console back before the command has ended
        sys.exit(subprocess.run(command, env=environ, check=False).returncode)
    try:
        os.execve(command[0], command, environ)
    except OSError as error:
        print(f"convbert-np: not started again: {error}", file=sys.stderr)
