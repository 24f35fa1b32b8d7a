"""Fit an encoder to one site without its forgetting everybody else."""
