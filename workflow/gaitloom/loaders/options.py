"""What a loader takes of each clip: the same options for NumPy, PyTorch and tf.data."""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, model_validator

from gaitloom.config import modality_of
from gaitloom.strict import Strict

PICTURES = ("silhouette", "parts", "flow", "deidentified")  # modalities that are frames of pixels
RGB = ("silhouette", "parts")  # those that can also be had in colours

Colour = tuple[
    Annotated[int, Field(ge=0, le=255)], Annotated[int, Field(ge=0, le=255)], Annotated[int, Field(ge=0, le=255)]
]


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Input(NamedTuple):
    """One of `Options.inputs`."""

    node: str
    modality: str
    form: str

    @classmethod
    def parse(cls, text: str) -> "Input":
        """Read `node` or `node:form`."""
        node, _, form = text.partition(":")
        return cls(node, modality_of(node), form)

    @property
    def rgb(self) -> bool:
        """Whether it gives RGB pictures."""
        return bool(self.form) or self.modality == "deidentified"

    @property
    def channels(self) -> int:
        """How many channels it gives; keypoints give none."""
        return 3 if self.rgb else {"flow": 2, "keypoints": 0}.get(self.modality, 1)


class Prompts(Strict):
    """Kinematic prompts: the skeleton, drawn on the RGB pictures that the model will see (ChildGait-Video's idea)."""

    node: str = Field(default="keypoints", description="The keypoints node that is drawn.")
    min_score: float = Field(default=0.3, ge=0, description="Points below this score are not drawn, nor lines to them.")
    width: int = Field(
        default=2, ge=1, description="Width of the lines, as OpenCV draws them, in pixels of the resized picture."
    )
    radius: int = Field(default=2, ge=0, description="Radius of the joints in the same pixels; 0 draws none.")
    left: Colour = Field(default=(255, 140, 0), description="RGB of lines between points of the person's left.")
    right: Colour = Field(default=(0, 170, 255), description="RGB of those of the right.")
    middle: Colour = Field(default=(240, 240, 240), description="RGB of all other lines.")
    joint: Colour = Field(default=(80, 255, 80), description="RGB of the joints.")


class Patches(Strict):
    """Mask-guided patch selection: which tubelets hold enough of the silhouette (ChildGait-Video's other idea).

    Neither its threshold nor how the frames of a tubelet combine is published; both defaults are ours.
    """

    node: str = Field(default="silhouette", description="The silhouette node that guides.")
    tubelet: tuple[int, int, int] = Field(
        default=(2, 16, 16), description="Frames, rows and columns of a token (VideoMAE v2)."
    )
    threshold: float = Field(
        default=0.02, gt=0, le=1, description="Least share of silhouette pixels: 5 of 256, since feet fill no more."
    )
    combine: Literal["mean", "any", "all"] = Field(
        default="mean",
        description="What must reach it: the share over the tubelet, or that in any or in all of its frames.",
    )


class Options(Strict):
    """Which clips, which frames of them, and as what."""

    inputs: Texts = Field(
        default=("silhouette",),
        min_length=1,
        description="Nodes, stacked along channels in this order. `:rgb` after a silhouette or parts node gives three "
        "channels (parts in Health&Gait's colours). One keypoints node gives `points`.",
    )
    frames: int = Field(default=40, ge=1, description="Frames of a sample.")
    skip: float = Field(default=0.15, ge=0, lt=0.5, description="Share of the usable frames left out at either end.")
    stride: int | Literal["even"] = Field(
        default="even", description="Frames from one to the next; `even`: as many as fit, the same between all."
    )
    start: Literal["first", "random"] = Field(
        default="first", description="Begin at the first frame that is not skipped, or anywhere from where all fit."
    )
    short: Literal["spread", "first", "leave_out"] = Field(
        default="spread",
        description="Of a clip that is too short for that: frames evenly spread, some several times; the first one "
        "again and again, as Health&Gait's generator does with an even stride; or no sample.",
    )
    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = Field(
        default=(224, 224),
        description="Height and width: resized with the aspect kept, padded with 0; null: as the clip is.",
    )
    dtype: Literal["float32", "uint8"] = Field(
        default="float32", description="Pictures and masks from 0 to 1, or from 0 to 255 in a quarter of the memory."
    )
    where: dict[str, Texts] = Field(default={}, description="Columns of the store's clips → the values that are taken.")
    target: str | None = Field(
        default=None, description="Column of the table, else of the store's clips, that is learned."
    )
    classes: Texts | None = Field(
        default=None,
        description="The target's values in the order of their numbers; null: numbers as they are, else sorted.",
    )
    table: Path | None = Field(
        default=None,
        description="CSV or TSV with a column `subject` (`ID`, `participant_id`), or `path` where clips differ.",
    )
    split: Path | dict[str, tuple[str, ...]] | None = Field(
        default=None,
        description="Part → subjects, or a JSON file of that, as `gaitloom splits` and Health&Gait write it.",
    )
    part: str | None = Field(default=None, description="Which part of the split, such as `train`.")
    seed: int = Field(default=0, ge=0, description="With the epoch, it gives the order of clips and random starts.")
    prompts: Prompts | None = Field(default=None, description="Draw the skeleton on the RGB pictures.")
    patches: Patches | None = Field(default=None, description="Say which patches hold the person, as `kept`.")

    @model_validator(mode="after")
    def _fit(self) -> "Options":
        if isinstance(self.stride, int) and self.stride < 1:
            raise ValueError("stride is a number of frames from 1 on, or 'even'")
        if (self.split is None) != (self.part is None):
            raise ValueError("split and part are given together")
        for text, taken in zip(self.inputs, self.taken, strict=True):
            if taken.modality not in (*PICTURES, "keypoints"):
                raise ValueError(f"inputs: {text} has neither pixels nor points")
            if taken.form and (taken.form != "rgb" or taken.modality not in RGB):
                raise ValueError(f"inputs: {text}: ':rgb' is for {' and '.join(RGB)}; nothing else comes in two forms")
        modalities = [taken.modality for taken in self.taken]
        if modalities.count("keypoints") > 1:
            raise ValueError("inputs: one keypoints node, not several")
        if self.dtype == "uint8" and "flow" in modalities:
            raise ValueError("inputs: flow is in pixels and needs dtype: float32")
        if self.prompts and not any(taken.rgb for taken in self.taken):
            raise ValueError("prompts are drawn on RGB pictures; add one to inputs, such as deidentified")
        if self.patches:
            self._fit_patches(self.patches)
        return self

    def _fit_patches(self, patches: Patches) -> None:
        if self.size is None or any(n % p for n, p in zip((self.frames, *self.size), patches.tubelet, strict=True)):
            raise ValueError("patches.tubelet must divide frames and size")

    @property
    def taken(self) -> list[Input]:
        """`inputs`, read."""
        return [Input.parse(text) for text in self.inputs]


# Health&Gait's technical validation (`train_MoviNet_*` of its repository): `Options(**HEALTH_GAIT, target=...)`.
HEALTH_GAIT: dict[str, Any] = {
    "inputs": "silhouette:rgb",
    "frames": 40,
    "skip": 0.15,
    "stride": "even",
    "start": "first",
    "short": "first",
    "size": (224, 224),
    "dtype": "float32",
}
