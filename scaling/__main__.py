"""`python -m scaling` is the command `scaling`."""

from scaling.cli import main

if __name__ == "__main__":
    main(prog_name="scaling")
