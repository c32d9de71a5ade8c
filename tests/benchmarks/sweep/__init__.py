"""The naive sweep that ours is compared with."""
