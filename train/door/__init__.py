"""The door's encoder: a small network taught by a larger one what two faces have in common."""
