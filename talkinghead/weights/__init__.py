"""Reading checkpoints safely: every public container, tensors only, no code of the file is ever run."""

from talkinghead.media.files import file_sha256
from talkinghead.weights.checkpoint import Checkpoint, read_checkpoint
from talkinghead.weights.safetensors import write_safetensors

__all__ = ["Checkpoint", "file_sha256", "read_checkpoint", "write_safetensors"]
