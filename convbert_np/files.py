"""Writing files whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path` for writing bytes; on success it takes the place of `path`, else it vanishes."""
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no directory {Path(path).parent}")
    path = Path(os.path.realpath(path))  # of a link, what it points to
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".convbert-np-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~current_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8"))


def current_umask() -> int:
    """The permissions that new files of this process are denied."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
