"""Write tiny_encoder.tflite: a full-int8 network with fixed weights, small enough to commit.

Run `python tests/golden/make_tiny_encoder.py` with the workstation extra after changing it, then
`python tests/golden/test_golden_crop.py` style goldens are unaffected: the embedding golden is
computed by hand from the same weights, not stored.
"""
