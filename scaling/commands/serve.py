"""`scaling serve`: the report of a sweep in a browser on this machine, renewed while it runs."""

from __future__ import annotations

from pathlib import Path

import click

from scaling.commands.options import one_sweep, root_option

_EXAMPLES = """\b
Examples:
  scaling serve quickstart
  scaling serve bert_vs_gpt --port 0
  ssh -L 8420:127.0.0.1:8420 trainer scaling serve bert_vs_gpt
"""
PORT = 8420


@click.command(epilog=_EXAMPLES)
@click.argument("sweep", required=False)
@root_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="Of 127.0.0.1; 0 takes any that is free.",
)
def serve(sweep: str | None, root: Path, port: int) -> None:
    """Show the report of SWEEP in a browser on this machine, and how the sweep gets on.

    The page looks every two seconds; the report is made again when cells have ended, at low
    priority. It answers on 127.0.0.1 alone and changes nothing in the store. Without SWEEP: the
    only sweep of the store. Ctrl-C ends it, and the sweep goes on.
    """
    import tempfile

    from scaling.errors import StoreError
    from scaling.serving.report_maker import ReportMaker
    from scaling.serving.server import SweepServer
    from scaling.store import Store
    from scaling.sweep_status import StatusReader

    store = Store(root)
    name = one_sweep(store, sweep)
    reader = StatusReader(store, name)
    with tempfile.TemporaryDirectory(prefix="scaling-serve-") as folder:
        report = ReportMaker(store.sweep_folder(name), Path(folder))
        try:
            server = SweepServer(store, name, reader, report, port=port)
        except OSError as error:
            raise StoreError(
                f"port {port} of 127.0.0.1 cannot be had ({error.strerror}); --port 0 takes a free "
                "one"
            ) from None
        report.look(server.status())
        print(f"{server.url} shows {name}; Ctrl-C ends it", flush=True)
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            print("ended; the sweep goes on")
        finally:
            server.server_close()
            report.stop()
