"""Many videos on many machines, each made exactly once."""
