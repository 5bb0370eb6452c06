"""`tortie validate`."""

import click

from tortie.apps.ctl.files import read_files
from tortie.apps.ctl.options import filenames, recursive
from tortie.apps.ctl.show import out, out_json
from tortie.apps.failure import Code, Failure


@click.command()
@filenames
@recursive
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form of the output.")
def command(names: tuple[str, ...], recursive: bool, output: str) -> int:
    """Check documents without touching anything: every problem of every file, with its place and remedy.

    \b
    Examples:
      tortie validate -f policy.yaml
      tortie validate -f policies/ -R -o json
    """
    from tortie.apps.decoding import count, decode_files

    if not names:
        raise click.UsageError("nothing to validate: give documents with -f FILE, -f FOLDER or -f -")
    files = read_files(names, recursive=recursive)
    try:
        resources = decode_files(files)
    except Failure as error:
        if output == "json":
            out_json({"valid": False, "resources": 0, "problems": error.problems})
            return Code.INVALID.exit_code
        raise Failure(Code.INVALID, count(len(error.problems), "problem") + " found", error.problems) from None
    if output == "json":
        out_json({"valid": True, "resources": len(resources), "problems": []})
        return 0
    kinds = {resource.kind for resource in resources}
    kind = f"'{kinds.pop()}' " if len(kinds) == 1 else ""
    out(f"Successfully validated {len(resources)} {kind}resource(s)")
    return 0
