"""Which manifest the bundle inside this package has: the program that carries it vouches for it."""

# Sha256 of edge/model/manifest.json, written by scripts/ship_bundle; no other bundle is exempt
# from [encoder] trusted_keys.
MANIFEST_SHA256 = "7101e1363a0d3e2888909589b7ee5b37386169ae68e0c33b26e844f3feceba3d"
