"""Which manifest the bundle inside this package has: the program that carries it vouches for it."""

# Sha256 of edge/model/manifest.json, written by scripts/ship_bundle; no other bundle is exempt
# from [encoder] trusted_keys.
MANIFEST_SHA256 = "8d099b1b25a74a1815d4e5e2fb2e01e21df39d2cef42edad7be42688d64a85f1"
