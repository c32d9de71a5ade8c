"""Trains language models over a grid of sizes. Start at `spec`, `sweep` and `train`."""
