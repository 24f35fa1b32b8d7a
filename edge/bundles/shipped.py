"""Which manifest the bundle inside this package has: the program that carries it vouches for it."""

# Sha256 of edge/model/manifest.json, written by scripts/ship_bundle; no other bundle is exempt
# from [encoder] trusted_keys.
MANIFEST_SHA256 = "633b1bee2d95017cc6c86c5c383ae02aea9722fddb61a3a2c78b8c0da88af7ba"
