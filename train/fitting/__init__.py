"""How an encoder is fitted: networks, losses, one step, the loop, and who takes part in it."""
