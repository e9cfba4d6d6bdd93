"""Speech encoders: from a sound to the feature rows that a network was trained on."""
