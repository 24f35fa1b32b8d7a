"""Which manifest the bundle inside this package has: the program that carries it vouches for it."""

# Sha256 of edge/model/manifest.json, written by scripts/ship_bundle; no other bundle is exempt
# from [encoder] trusted_keys.
MANIFEST_SHA256 = "f17859dddfe0e662e5ab520d1244b471310ef93ff4284ca3b7ec5f2abf9dd2d0"
