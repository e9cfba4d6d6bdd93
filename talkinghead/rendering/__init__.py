"""Cameras, spherical harmonics and rasterisers; knows no family.

Each fast path has a slow readable twin with the same names: `rasterize_reference` is the specification of
`rasterize_cpu` (numba) and `rasterize_cuda` (gsplat), `spherical_harmonics` of `spherical_harmonics_cpu`.
"""
