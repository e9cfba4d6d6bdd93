"""The seven steps of Wav2Lip as separate programs with files between them.

extract-mel -> chunk-mel -> load-frames -> detect-faces -> run-wav2lip -> paste-patches -> encode-video

Each is `talkinghead stage NAME` and `python -m talkinghead.stages.NAME` (with underscores). The files are a published
interface: any step may be replaced by another program that writes the same file. Beside each result lies a small record
of what it was made from, so that a result of another run is noticed; without a record only sizes are compared.
"""
