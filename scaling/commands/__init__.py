"""The commands that train, one file each; `scaling.cli` names them."""
