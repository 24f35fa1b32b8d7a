"""Janus between the two: quantise an encoder, prove parity, calibrate, and write one bundle."""
