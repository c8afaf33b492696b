"""The one exception that users are meant to read."""


class GaitloomError(Exception):
    """One sentence that names the file, row or key at fault and says what to do about it."""
