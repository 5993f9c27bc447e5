"""The error of a checkpoint that cannot be read."""

import os
from reprlib import Repr

MOST_SHOWN = 200
SHORT = Repr()
SHORT.maxstring = SHORT.maxother = MOST_SHOWN
SHORT.maxlist = SHORT.maxtuple = SHORT.maxdict = 65


def shown(value: object, most: int = MOST_SHOWN) -> str:
    """The repr of a value, cut off; only the beginning of a long one is looked at, so that a long text takes no memory."""
    return f"{SHORT.repr(value):.{most}}"


class CheckpointError(ValueError):
    """A file is not the checkpoint it should be; the message names file, tensor (if any) and reason."""

    def __init__(self, path: str | os.PathLike[str], reason: str, tensor: str | None = None):
        self.path = os.fspath(path)
        self.tensor = tensor
        self.reason = reason
        where = "" if tensor is None else f"tensor {shown(tensor)}: "
        super().__init__(f"{self.path}: {where}{reason}")

    def __reduce__(self):
        """Pickle by the three arguments, so that the error survives the way between processes."""
        return type(self), (self.path, self.reason, self.tensor)
