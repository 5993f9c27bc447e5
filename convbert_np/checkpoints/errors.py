"""The error of a checkpoint that cannot be read."""

import os


class CheckpointError(ValueError):
    """A file is not the checkpoint it should be; the message names file, tensor (if any) and reason."""

    def __init__(self, path: str | os.PathLike[str], reason: str, tensor: str | None = None):
        self.path = os.fspath(path)
        self.tensor = tensor
        self.reason = reason
        where = "" if tensor is None else f"tensor {tensor!r:.200}: "
        super().__init__(f"{self.path}: {where}{reason}")

    def __reduce__(self):
        """Pickle by the three arguments, so that the error survives the way between processes."""
        return type(self), (self.path, self.reason, self.tensor)
