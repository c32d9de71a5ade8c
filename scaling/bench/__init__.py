"""What a machine can do, and what the suite's settings bring on it: measured, never assumed."""
