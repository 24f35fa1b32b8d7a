"""Which manifest the bundle inside this package has: the program that carries it vouches for it."""

# Sha256 of edge/model/manifest.json, written by scripts/ship_bundle; no other bundle is exempt
# from [encoder] trusted_keys.
MANIFEST_SHA256 = "a21a2bf01ccd3a0dff30ddaba7c7409947f9f980fde005f903fa06e271ee3a78"
