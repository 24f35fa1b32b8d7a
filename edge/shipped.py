"""Which manifest the bundle inside this package has: the program that carries it vouches for it."""

# Sha256 of edge/model/manifest.json, written by scripts/ship_bundle; no other bundle is exempt
# from [encoder] trusted_keys.
MANIFEST_SHA256 = "22ac75ea86dffa38af3b6d76e14a641f29f16334dc2cdf69a37c41baec8dccba"
