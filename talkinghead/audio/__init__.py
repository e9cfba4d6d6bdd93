"""Sound to what a head listens to: phones, mouth motion, mel spectrograms, speech encoders."""
