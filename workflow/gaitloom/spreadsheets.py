"""Tables as other programs write them: separated by commas, semicolons or tabs."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from gaitloom.errors import GaitloomError

MISSING = ("", "n/a", "na", "nan", "-")


def read(path: Path, names: Mapping[str, str] | None = None) -> pd.DataFrame:
    """The table as text, NaN where it says nothing, the index its lines in the file. The separator is the one that the
    header has most of. `names` renames columns; they must be there.

    Raises:
        GaitloomError: it is not there, not text, empty, or its rows and columns do not fit together.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise GaitloomError(f"{path} cannot be read ({error.strerror}); name another table.") from None
    except UnicodeDecodeError:
        raise GaitloomError(f"{path} is not UTF-8 text; save it as CSV or TSV in UTF-8.") from None
    first = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text), delimiter=max("\t;,", key=first.count))
    lines = [(rows.line_num, [" ".join(v.split()) for v in row]) for row in rows]
    lines = [(number, row) for number, row in lines if any(row)]
    if len(lines) < 2:
        raise GaitloomError(f"{path} has no rows; give a header and at least one row.")
    header = lines[0][1]
    for wanted in names or {}:
        if wanted not in header:
            raise GaitloomError(f"{path} has no column '{wanted}'; it has: {', '.join(header)}.")
    header = [(names or {}).get(column, column) for column in header]
    for column in header:
        if not column or header.count(column) > 1:
            raise GaitloomError(f"{path} has the column '{column}' twice, or one without a name; name each once.")
    for number, row in lines[1:]:
        if len(row) != len(header):
            raise GaitloomError(f"{path} row {number} has {len(row)} columns, the header {len(header)}; correct it.")
    table = pd.DataFrame([row for _, row in lines[1:]], columns=header, index=[n for n, _ in lines[1:]], dtype="str")
    return table.mask(table.apply(lambda column: column.str.casefold().isin(MISSING)))


def number(text: str) -> float:
    """A number with a decimal point or comma.

    Raises:
        ValueError: it is none.
    """
    return float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
