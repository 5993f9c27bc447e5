"""Files of parameters to arrays and back."""

from convbert_np.checkpoints.errors import CheckpointError
from convbert_np.checkpoints.formats import Checkpoint, open_checkpoint
from convbert_np.checkpoints.safetensors import read_header, read_safetensors, write_safetensors
from convbert_np.checkpoints.stored import StoredTensor

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "StoredTensor",
    "open_checkpoint",
    "read_header",
    "read_safetensors",
    "write_safetensors",
]
