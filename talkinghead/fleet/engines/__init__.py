"""Ways to run the worker."""
