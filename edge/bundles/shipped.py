"""Which manifest the bundle inside this package has: the program that carries it vouches for it."""

# Sha256 of edge/model/manifest.json, written by scripts/ship_bundle; no other bundle is exempt
# from [encoder] trusted_keys.
MANIFEST_SHA256 = "9371a59d9dcb4d17f2b16cea8278872c5aa3a4e4de9f3b96ac42d20f04a9ad3e"
