"""ARTalk: speech to FLAME motion, rendered as a mesh or as a Gaussian avatar."""
