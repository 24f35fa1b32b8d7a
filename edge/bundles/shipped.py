"""Which manifest the bundle inside this package has: the program that carries it vouches for it."""

# Sha256 of edge/model/manifest.json, written by scripts/ship_bundle; no other bundle is exempt
# from [encoder] trusted_keys.
MANIFEST_SHA256 = "a5d51e5d4d908a92e73ccf7afa8ebe9e52ccdd1248131da2c4fe7cff08726ba9"
