"""The configuration's table `technical_validation`."""

from typing import Annotated

from pydantic import Field

from gaitloom.strict import Strict


class VideoModel(Strict):
    """The small video model, which learns from pictures."""

    frames: int = Field(16, ge=2, description="Frames of a window.")
    seconds: float = Field(
        1.2, gt=0, description="Length of a window, about a gait cycle; clips are read at that pace."
    )
    windows: int = Field(
        3, ge=1, description="Windows of a clip: learned from in turn, and what they tell is averaged."
    )
    size: int = Field(64, ge=32, description="Height and width of a window in pixels.")
    width: int = Field(8, ge=4, multiple_of=4, description="Channels of the first layer; each further has twice those.")
    epochs: int = Field(30, ge=1, description="Most passes over the clips.")
    patience: int = Field(8, ge=1, description="Passes without gain for the people of the validation part: the end.")
    batch: int = Field(4, ge=1, description="Clips a step and process.")
    targets: tuple[Annotated[str, Field(pattern=r"^\w+$")], ...] = Field(
        ("sex", "age", "weight_kg"),
        description="Those of the targets that it is asked for; each item of a table of labels takes as long as sex.",
    )
    permutations: int = Field(1, ge=0, description="Runs with permuted targets.")
    gpus: int = Field(1, ge=1, description="GPUs of one machine that train together, where the device is one.")
    threads: int = Field(1, ge=1, description="Threads of a process; another number, another last digit.")
    cache_gb: float = Field(2.0, ge=0, description="Windows are kept in memory up to this size, else read again.")


class TechnicalValidation(Strict):
    """What is told from what, to see that the data hold what they should."""

    targets: tuple[Annotated[str, Field(pattern=r"^\w+$")], ...] = Field(
        ("sex", "age", "weight_kg", "evgs"),
        description="Columns of the participants or the clip sheet, or label tables; those that the data set has.",
    )
    inputs: tuple[str, ...] = Field(
        ("gait", "silhouette", "flow_tvl1"),
        description="Nodes from which they are told: gait by trees and a perceptron, pictures by the video model.",
    )
    permutations: int = Field(20, ge=0, description="Runs of trees and perceptron with permuted targets.")
    resamples: int = Field(1000, ge=100, description="Bootstrap resamples of people, for the 95 % intervals.")
    seed: int = Field(0, ge=0, description="Another seed, another figure.")
    video: VideoModel = Field(
        VideoModel(),  # pyright: ignore[reportCallIssue]
        description="The model that learns from pictures.",
    )
