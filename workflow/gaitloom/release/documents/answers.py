"""What only the laboratory can say in the datasheet: its own text, below headings."""

from pathlib import Path

from gaitloom.errors import GaitloomError

SECTIONS = ("motivation", "composition", "collection", "preprocessing", "uses", "distribution", "maintenance")


def read(path: Path | None) -> dict[str, str]:
    """Section of the datasheet → the text below `## <section>`; "" where there is none.

    Raises:
        GaitloomError: the file cannot be read, it begins with text below no heading, or has another heading.
    """
    answers = dict.fromkeys(SECTIONS, "")
    heading = ""
    for line in text(path, "release.answers").splitlines() if path else ():
        if line.startswith("## "):
            heading = line[3:].strip().lower()
            if heading not in SECTIONS:
                raise GaitloomError(f"{path}: '## {heading}' is no section of a datasheet; use {', '.join(SECTIONS)}.")
        elif heading:
            answers[heading] += f"{line}\n"
        elif line.strip() and not line.startswith("# "):
            raise GaitloomError(
                f"{path}: '{line.strip()}' is below no heading; put it below `## {SECTIONS[0]}`, or another."
            )
    return {section: answer.strip() for section, answer in answers.items()}


def text(path: Path, key: str) -> str:
    """A text of the laboratory's own; `key` is where the configuration names it.

    Raises:
        GaitloomError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise GaitloomError(f"{path} cannot be read as UTF-8 text; correct {key} in the configuration.") from None
