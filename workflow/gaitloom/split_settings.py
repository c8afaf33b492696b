"""How people are split: the configuration's table `splits`, which is also what `gaitloom splits` is told."""

from pydantic import Field, model_validator

from gaitloom.strict import Strict


class Splits(Strict):
    """Into `folds`, for each family (`leave_one_out`), or once by `shares`."""

    folds: int | None = Field(None, ge=2, description="So many partitions; everyone is tested in one of them.")
    leave_one_out: bool = Field(False, description="One partition a family, which is tested in it.")
    shares: tuple[float, float, float] | None = Field(
        None, description="One partition: shares of train, validation and test."
    )
    validation: float | None = Field(
        None, ge=0, lt=1, description="Its share of all people, with folds (0.1) and leave_one_out (0)."
    )
    by: tuple[str, ...] = Field(
        (), description="Columns whose classes are shared out; `age:18,35,50` is one of numbers and where bands begin."
    )
    family: str = Field("family", description="Column of those who stay together.")
    seed: int = Field(0, description="Another seed, another split.")

    @model_validator(mode="after")
    def _one_way(self) -> "Splits":
        if (self.folds is not None) + self.leave_one_out + (self.shares is not None) != 1:
            raise ValueError("choose one of folds, leave_one_out and shares")
        if self.shares and (min(self.shares) < 0 or not 0 < sum(self.shares) < float("inf")):
            raise ValueError("shares are those of train, validation and test, as in 0.7, 0.1, 0.2")
        if self.validation is not None and self.shares:
            raise ValueError("validation goes with folds and leave_one_out; shares say it themselves")
        self.bands()
        return self

    def bands(self) -> dict[str, tuple[float, ...]]:
        """Column of `by` → where its bands begin; nothing where its values are the classes."""
        found: dict[str, tuple[float, ...]] = {}
        for text in self.by:
            name, _, starts = text.partition(":")
            try:
                found[name] = tuple(float(v) for v in starts.split(",")) if starts else ()
            except ValueError:
                found[name] = (0.0, 0.0)
            if list(found[name]) != sorted(set(found[name])):
                raise ValueError(f"by {text}: bands begin at rising numbers, as in age:18,35,50; correct them")
        return found
