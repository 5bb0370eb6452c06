"""`tortie explain`."""

import click

from tortie.apps.ctl.options import choice, filenames, past, recursive, with_target
from tortie.apps.ctl.show import out, out_json
from tortie.apps.ctl.target import choose
from tortie.apps.files import read_files

SUBJECTS = ("port", "host", "policy", "endpoint")
"""As in `explain.answering`, which would take too long to import; a test compares."""


@click.command()
@with_target
@click.argument("subject", type=click.Choice(SUBJECTS))
@click.argument("name", required=False, metavar="[NAME]")
@click.option("-n", "--namespace", default="", metavar="NAME", help="Policies and endpoints of this namespace alone.")
@filenames
@recursive
@past
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form of the output.")
def command(
    subject: str,
    name: str | None,
    namespace: str,
    names: tuple[str, ...],
    recursive: bool,
    revision: int | None,
    at: str | None,
    output: str,
) -> int:
    """Explain who can reach what, and why: exactly, for all packets at once.

    \b
    port 5432, tcp/5432, udp/53, NAME   who can reach that port of this host, and by which rule
    host [NODE]                         the same in overview, for all interfaces
    policy NAME                         what it selects, its place, and which of its rules never match
    endpoint NAME                       everything that holds on it, in order, and what is open to whom

    About this host as it is; with -f as it would be if these documents were applied; with --node another one, of which
    only documents are known; with --revision or --at as the datastore was.

    \b
    Examples:
      tortie explain port 5432
      tortie explain policy web -f policy.yaml --node web1
    """
    from tortie.apps.ctl.explained import lines

    if name is None and subject != "host":
        raise click.UsageError(f"which {subject}? give its name")
    chosen = choice()
    answer = choose(chosen).explain(
        {
            "subject": subject,
            "name": name or "",
            "namespace": namespace,
            "node": chosen.node,
            "revision": revision,
            "at": at,
            "files": read_files(names, recursive=recursive),
        }
    )
    if output == "json":
        out_json(answer)
    else:
        out("\n".join(lines(answer)))
    return 0
