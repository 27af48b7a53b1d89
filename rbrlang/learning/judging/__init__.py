"""How good is a reward: ranking error, noise, influence, certificates."""
