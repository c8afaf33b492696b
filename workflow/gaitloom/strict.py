"""The base of every table of settings."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """An unknown key is an error, and a loaded table never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
