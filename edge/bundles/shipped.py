"""Which manifest the bundle inside this package has: the program that carries it vouches for it."""

# Sha256 of edge/model/manifest.json, written by scripts/ship_bundle; no other bundle is exempt
# from [encoder] trusted_keys.
MANIFEST_SHA256 = "4061911838fc9c11f30286153377d699994a15e48878a348a3d141b0f2c8ae09"
