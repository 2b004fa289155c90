"""The command line. `app` lists the commands; each has a module of its own; `options` is shared."""


def main() -> None:
    """Entry point of `nrtctl`."""
    try:
        from nrtctl.cli.app import app
    except KeyboardInterrupt:
        raise SystemExit(130) from None

    app()
