"""`scaling serve`: the report of a sweep on this machine, renewed while the sweep runs."""
