"""Speech to FLAME motion: audio encoder, style encoder, bitwise autoregression, VAE, smoothing."""
