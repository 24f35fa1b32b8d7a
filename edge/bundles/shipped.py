"""Which manifest the bundle inside this package has: the program that carries it vouches for it."""

# Sha256 of edge/model/manifest.json, written by scripts/ship_bundle; no other bundle is exempt
# from [encoder] trusted_keys.
MANIFEST_SHA256 = "34da3572fa0053afaade0ba091019acaad046858cc86f3c7aed220182f1b15e6"
