"""Files of parameters to arrays and back."""

from convbert_np.checkpoints.errors import CheckpointError
from convbert_np.checkpoints.safetensors import read_header, read_safetensors, write_safetensors

__all__ = ["CheckpointError", "read_header", "read_safetensors", "write_safetensors"]
