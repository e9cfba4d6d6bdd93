"""Reading checkpoints safely: every public container, tensors only, no code of the file is ever run."""

from talkinghead.weights.checkpoint import Checkpoint, read_checkpoint
from talkinghead.weights.safetensors import write_safetensors

__all__ = ["Checkpoint", "read_checkpoint", "write_safetensors"]
