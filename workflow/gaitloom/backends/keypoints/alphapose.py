"""AlphaPose, from an installation of yours: its licence forbids shipping it.

Its own program runs on the clip's frames with its own detector; of the people that it poses, the one who overlaps the
tracked box counts. Fang et al., "AlphaPose: Whole-Body Regional Multi-Person Pose Estimation and Tracking in
Real-Time", TPAMI 2023.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from gaitloom.backends import Device, Needs, Spec
from gaitloom.errors import GaitloomError
from gaitloom.keypoint_formats import COCO_17, HALPE_26
from gaitloom.weights import Chosen

FORMATS = {"coco_17": COCO_17, "halpe_26": HALPE_26}
PREFIX = "gaitloom-alphapose-"


class Options(Chosen):
    """Where AlphaPose is, and which of its models."""

    weights: str = Field("halpe26_fast_res50_256x192.pth", description="Path of the checkpoint; give its SHA-256 too.")
    installation: Path = Field(
        Path("AlphaPose"), exclude=True, description="AlphaPose's own folder, which holds scripts/demo_inference.py."
    )
    python: Path = Field(Path("python"), exclude=True, description="The Python that AlphaPose runs in.")
    version: str = Field("", description="What you call this installation, such as its commit; it is recorded.")
    model: str = Field(
        "configs/halpe_26/resnet/256x192_res50_lr1e-3_1x.yaml",
        description="The checkpoint's configuration, below AlphaPose's folder.",
    )
    format: Literal["coco_17", "halpe_26"] = Field("halpe_26", description="The points that this model gives.")
    detector: str = Field("yolo", description="AlphaPose's detector.")
    flip: bool = Field(False, description="Average with the mirrored picture, as AlphaPose's --flip.")
    frames_at_once: int = Field(
        512, ge=1, exclude=True, description="Frames that lie on the disk for AlphaPose at a time; removed at once."
    )


SPEC = Spec(
    version=1,
    options=Options,
    packages=("opencv-contrib-python-headless",),
    licence="AlphaPose (non-commercial)",
    accelerated=True,
    needs=Needs(memory_mb=5000, seconds=1),
)


class Backend:
    """One call of AlphaPose's program for every few hundred frames."""

    score_kind = "heat-map peak"

    def __init__(self, options: Options, device: Device):
        self._options, self._device = options, device
        self.format = FORMATS[options.format]
        self._weights = options.weight.verify().absolute()
        self._program = options.installation.absolute() / "scripts" / "demo_inference.py"
        if not self._program.is_file():
            raise GaitloomError(
                f"There is no AlphaPose at {options.installation}: scripts/demo_inference.py is missing; "
                "correct backend_options.installation."
            )

    def points(self, people: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray | None]:
        """(K, 3) float32 x, y in full-frame pixels and score for each (image, box); None where AlphaPose poses nobody
        who overlaps the box.

        Raises:
            GaitloomError: AlphaPose fails, or poses other points than the options say.
        """
        _sweep()
        stream = iter(people)
        while (first := next(stream, None)) is not None:
            with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-") as folder:  # ours alone to read
                yield from self._posed(Path(folder), [first, *islice(stream, self._options.frames_at_once - 1)])

    def _posed(self, folder: Path, people: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray | None]:
        import cv2

        from gaitloom.exchange import alphapose

        (folder / "in").mkdir()
        for index, (image, _) in enumerate(people):
            cv2.imwrite(str(folder / "in" / f"{index}.png"), image[..., ::-1])
        self._run(folder / "in", folder / "out")
        boxes = np.array([box for _, box in people], np.float32)
        found = alphapose.read_results(folder / "out" / "alphapose-results.json", len(people), boxes)
        if found.valid.any() and found.names != self.format.points:
            raise GaitloomError(
                f"AlphaPose's model gives {len(found.names)} points, not {self.format.name}; "
                "correct backend_options.format."
            )
        points = np.concatenate([found.xy, found.score[..., None]], axis=2)
        return [p if valid else None for p, valid in zip(points, found.valid, strict=True)]

    def _run(self, source: Path, target: Path) -> None:
        options, name = self._options, self._device.name
        gpu = "-1" if name == "cpu" else name.partition(":")[2] or "0"
        command = [str(options.python), str(self._program), "--cfg", options.model]
        command += ["--checkpoint", str(self._weights), "--indir", str(source), "--outdir", str(target)]
        command += ["--format", "coco", "--detector", options.detector, "--gpus", gpu, "--sp"]
        command += ["--posebatch", str(self._device.batch), *(["--flip"] if options.flip else [])]
        try:
            done = subprocess.run(
                command, cwd=options.installation, capture_output=True, text=True, errors="replace", check=False
            )
        except OSError as error:
            raise GaitloomError(
                f"AlphaPose's Python {options.python} cannot be run ({error.strerror}); correct backend_options.python."
            ) from None
        # Its program catches its own errors and ends well; only its results tell.
        if done.returncode or not (target / "alphapose-results.json").is_file():
            lines = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
            last = lines[-1].strip()[:200] if lines else f"exit code {done.returncode}"
            raise GaitloomError(
                f"AlphaPose gave no results ({last}); run its scripts/demo_inference.py by hand to see."
            )


def _sweep() -> None:
    """Remove the frames that killed processes of ours left: they are raw pictures."""
    import psutil

    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        pid = left.name.removeprefix(PREFIX).split("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
