"""The command line. `app` lists the commands; each has a module of its own, run in a `session`.

Options of every command, and of several, are `common_options`; how files are read, `file_options`.
"""


def main() -> None:
    """Entry point of `nrtctl`."""
    from nrtctl.cli import endings

    endings.prepare()
    try:
        from nrtctl.cli import streams

        streams.prepare()
        from nrtctl.cli.app import app

        app()
    except KeyboardInterrupt:
        code = 130
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    else:
        code = 0
    endings.finish()
    from nrtctl.cli import streams

    raise SystemExit(streams.finish(code))
