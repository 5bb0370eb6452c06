"""The golden cases of lint: documents, what is said of them, and the documents after `--fix`. Run it to write them.

tests/golden/lint/<case>/documents.yaml     as their author wrote them
                         findings.txt       what `tortie lint` says
                         fixed.yaml         what `--fix` makes of them, where that is something else
"""

from pathlib import Path

from tortie.apps.answers import SourceText
from tortie.apps.linting.fixing import fix
from tortie.apps.linting.running import Company, lint

CASES = Path(__file__).parents[1] / "golden/lint"


def source_of(case: Path) -> Path:
    """The documents of the case."""
    (found,) = case.glob("documents.*")
    return found


def read(path: Path) -> SourceText:
    return {"source": path.name, "text": path.read_bytes().decode()}


def said(file: SourceText) -> str:
    """Every problem and finding, a line each."""
    report = lint([file])
    return "".join(f"{one}\n" for one in (*report.problems, *report.findings)) or "nothing\n"


def fixed(file: SourceText) -> str:
    (found,) = fix([file], lint([file]), Company()).files
    return found["text"]


def main() -> None:
    """Write what every case should come to."""
    for case in sorted(CASES.iterdir()):
        source = source_of(case)
        file = read(source)
        (case / "findings.txt").write_text(said(file))
        new = case / f"fixed{source.suffix}"
        new.unlink(missing_ok=True)
        if (text := fixed(file)) != file["text"]:
            new.write_bytes(text.encode())


if __name__ == "__main__":
    main()
