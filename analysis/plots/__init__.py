"""Figures: each `draw_x(ax, ...)` draws results on an Axes and returns what it drew."""
