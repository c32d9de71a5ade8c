"""W&B as a mirror of the store: what is sent there, and how it is read back whole."""
