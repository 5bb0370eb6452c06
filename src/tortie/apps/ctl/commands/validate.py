"""`tortie validate`."""

import click

from tortie.apps.ctl.options import filenames, namespace, recursive, skip_empty
from tortie.apps.ctl.show import out, out_json
from tortie.apps.failure import Code, Failure
from tortie.apps.files import read_files

FORMS = ("text", "json", "sarif", "github")


@click.command()
@filenames
@recursive
@skip_empty
@namespace
@click.option("-o", "--output", type=click.Choice(FORMS), default="text", help="Form of the output.")
def command(names: tuple[str, ...], recursive: bool, skip_empty: bool, namespace: str, output: str) -> int:
    """Check documents without touching anything: every problem of every file, with its place and remedy.
    PolicyTest and PolicyAssertion documents are read as `tortie test` and `tortie assert` do, and not answered.

    json is a list with an item for each document; sarif and github are for services that show problems beside the
    line that they are in.

    \b
    Examples:
      tortie validate -f policy.yaml
      tortie validate -f policies/ -R -o json
    """
    from tortie.apps.ctl import reports
    from tortie.apps.ctl.questions import counted, judged
    from tortie.apps.decoding import count, problem_answer, read_sources

    if not names:
        raise click.UsageError("nothing to validate: give documents with -f FILE, -f FOLDER or -f -")
    files = read_files(names, recursive=recursive, may_be_empty=skip_empty)
    readings = [*judged(read_sources(files, needs_documents=not skip_empty, namespace=namespace), files)]
    problems = [problem for one in readings for problem in one.problems]
    match output:
        case "json":
            out_json(reports.documents(readings))
        case "sarif":
            out_json(reports.sarif(problems))
        case "github":
            for problem in problems:
                out(reports.annotation(problem))
        case _ if problems:
            found = f"{count(len(problems), 'problem')} found"
            raise Failure(Code.INVALID, found, [problem_answer(each) for each in problems])
        case _ if not readings:
            out("No resources specified")
        case _:
            resources = [resource for one in readings for resource in one.resources]
            kinds = {resource.kind for resource in resources}
            kind = f"'{kinds.pop()}' " if len(kinds) == 1 else ""
            questions = counted(readings)
            said = [f"{len(resources)} {kind}resource(s)"] if resources or not questions else []
            out(f"Successfully validated {', '.join([*said, *questions])}")
    return Code.INVALID.exit_code if problems else 0
