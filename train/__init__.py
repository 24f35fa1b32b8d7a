"""Janus on the workstation: fit Siamese encoders and measure them on people never seen."""
