"""The command `scaling`, which `python -m scaling` is as well."""

from __future__ import annotations

import sys

from scaling import interruption


def main() -> None:
    """Ends in a word and not in a traceback where Ctrl-C comes while the command is imported."""
    interruption.listen()
    try:
        from scaling.cli import main as command

        command(prog_name="scaling")
    except (KeyboardInterrupt, Exception) as error:
        # An import that was cut short fails later, in whatever way.
        if isinstance(error, Exception) and not interruption.was_heard():
            raise
        print("stopped", file=sys.stderr)
        sys.exit(interruption.EXIT_CODE)


if __name__ == "__main__":
    main()
