"""What an encoder is worth on people whom it has never seen, in figures and pictures."""
