"""TalkingGaussian: a trained cloud of 3D Gaussians for a face and one for the inside of the mouth, moved by speech.

Li et al. 2024, "TalkingGaussian: Structure-Persistent 3D Talking Head Synthesis via Gaussian Splatting".
"""
