"""Wav2Lip (Prajwal et al. 2020): a lip generator driven by mel windows; patches pasted into the frames of a face."""
