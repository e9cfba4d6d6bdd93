"""One folder per model family. A family uses the shared folders and never another family."""
