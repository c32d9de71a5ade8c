"""The workspace and the report in W&B, as code."""
