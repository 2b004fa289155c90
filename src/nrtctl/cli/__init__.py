"""The command line. `app` lists the commands; each has a module of its own, run in a `session`.

Options of every command, and of several, are `common_options`; how files are read, `file_options`.
"""


def main() -> None:
    """Entry point of `nrtctl`."""
    try:
        from nrtctl.cli import endings

        endings.prepare()
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
    from nrtctl.cli import endings, streams

    endings.finish()
    raise SystemExit(streams.finish(code))
