"""Training: mixing, losses, optimiser, one step, the loop and its checkpoints."""
