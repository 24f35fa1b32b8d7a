"""Which manifest the bundle inside this package has: the program that carries it vouches for it."""

# Sha256 of edge/model/manifest.json, written by scripts/ship_bundle; no other bundle is exempt
# from [encoder] trusted_keys.
MANIFEST_SHA256 = "b2fd4f41f7bca3211675771aa5e339c50d8729552b1bed46cb4b2239209fd8ab"
