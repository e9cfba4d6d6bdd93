"""A Gaussian head made by calculation: a sculpted cloud, and motion networks that are constructed, not trained.

It has the published formats throughout, so it goes through the same code as a trained head, and it needs no download.
Lengths are in head units (half the height of the head is about 1); UNIT converts to world units.
"""

UNIT = 0.092
"""World units per head unit: published clouds lie within 0.1 of the origin."""
