"""The command line. `app` lists the commands; each has a module of its own; `options` is shared."""


def main() -> None:
    """Entry point of `nrtctl`."""
    from nrtctl.cli.app import app

    app()
