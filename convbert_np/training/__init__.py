"""Training: the optimizer, its schedule, the objectives of pre-training, and the loop."""
