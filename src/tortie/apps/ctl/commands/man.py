"""`tortie man`."""

from pathlib import Path

import click

from tortie.apps.ctl.completing import PATH
from tortie.apps.ctl.show import out
from tortie.apps.failure import Code, Failure


@click.command()
@click.argument("folder", type=PATH, metavar="DIR")
def command(folder: str) -> None:
    """Write the manual pages, tortie.1 and tortie-COMMAND.1, into the folder DIR.

    They say the same as --help, being made of it.

    \b
    Examples:
      tortie man /usr/local/share/man/man1
      tortie man /tmp/pages
    """
    from tortie.apps.ctl.main import cli
    from tortie.apps.ctl.manual import pages

    for name, text in pages(cli).items():
        path = Path(folder, name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise Failure(Code.USAGE, f"{path}: {error.strerror}; give a folder that can be written") from None
        out(f"wrote {path}")
