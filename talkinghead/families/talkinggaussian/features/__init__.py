"""Speech features from sound, in the layouts that trained heads listen to.

Every extractor yields blocks of rows in order, [R, positions, width] float32, 25 rows per second of sound, so that
memory does not grow with the length of the sound.
"""
