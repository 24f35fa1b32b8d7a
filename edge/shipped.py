"""Which manifest the bundle inside this package has: the program that carries it vouches for it."""

# Sha256 of edge/model/manifest.json, written by scripts/ship_bundle; no other bundle is exempt
# from [encoder] trusted_keys.
MANIFEST_SHA256 = "6fdc91fefbf7687a738cecb9a8a152915a6c8ebd206891606091db9ad87bbe6e"
