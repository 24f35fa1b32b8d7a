"""`janus demo`: the real pipeline on people who walk up to a camera, filmed and reported."""
