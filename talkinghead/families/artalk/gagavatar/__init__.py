"""GAGAvatar: a one-shot Gaussian head, driven by FLAME motion (Chu and Harada 2024)."""
