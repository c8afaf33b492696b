"""People by YOLOv8, followed by ByteTrack or BoT-SORT, all as ultralytics has them."""

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any, Literal

import numpy as np
from pydantic import Field

from gaitloom.backends import CPU, Device, Needs, Spec, _ultralytics
from gaitloom.backends._batches import batches
from gaitloom.backends._pictures import bgr
from gaitloom.tracking import People


class Options(_ultralytics.Options):
    """Which model, how sure it must be, and how people are followed; ultralytics' own defaults but for `nms_iou`."""

    weights: str = Field("yolov8n.pt", description="Name of a registered weight file, or the path of one.")
    confidence: float = Field(
        0.25, gt=0, lt=1, description="People of this score are reported, and followed from then on."
    )
    low_confidence: float = Field(
        0.1, gt=0, lt=1, description="Below `confidence` and down to this score, a person counts where one is expected."
    )
    # ultralytics' own 0.7 leaves doubles of one person, whose numbers then change places.
    nms_iou: float = Field(
        0.5, gt=0, lt=1, description="Of two boxes that overlap more than this (IoU), the weaker is dropped."
    )
    tracker: Literal["bytetrack", "botsort"] = Field(
        "bytetrack", description="ByteTrack, or BoT-SORT, which also makes up for a moving camera."
    )
    track_buffer: int = Field(30, ge=1, description="Frames for which someone out of sight is still expected.")
    match_thresh: float = Field(
        0.8, gt=0, le=1, description="Largest distance (1 - IoU, weighted by the score) at which it is the same person."
    )


SPEC = Spec(
    version=1,
    options=Options,
    packages=(*_ultralytics.PACKAGES, "lap", "opencv-contrib-python-headless"),
    licence=_ultralytics.LICENCE,
    environment="torch",
    accelerated=True,
    needs=Needs(memory_mb=3000, seconds=0.5),
)


class Backend:
    """Detections by themselves, in batches; identities by what came before, from the stream's first frame on."""

    temporal = True

    def __init__(self, options: Options, device: Device = CPU):
        self._options = options
        seen = options.model_copy(update={"confidence": min(options.confidence, options.low_confidence)})
        tasks = ("detect", "segment", "pose")  # all of them find boxes
        self._model = _ultralytics.Model(
            options.weight.verify(), tasks, seen, device, iou=options.nms_iou, retina_masks=False
        )

    def people(self, images: Iterable[np.ndarray]) -> Iterator[People]:
        """For every RGB image (H, W, 3) uint8 of one clip: boxes, scores and identities of everyone in it.

        Boxes are the detector's, not the tracker's smoothed ones. The tracker numbers a newcomer at once and confirms
        him in the next frame; both frames have that number. Someone whom it does not follow (it takes him for a double)
        has a negative number, of that frame alone.
        """
        tracker, strangers = self._tracker(), count(-2, -1)  # -1 means nobody

        def detect(batch: list[np.ndarray]) -> list[tuple[np.ndarray, Any]]:
            found = self._model.predict(batch, rect=True)
            return [(image, result.boxes.cpu().numpy()) for image, result in zip(batch, found, strict=True)]

        for image, boxes in batches(images, self._model.batch, detect):
            boxes = boxes[(boxes.xywh[:, 2:] > 0).all(axis=1)]
            tracker.update(boxes, bgr(image))
            names = {int(track.idx): track.track_id for track in tracker.tracked_stracks}
            rows = [i for i in range(len(boxes)) if i in names or boxes.conf[i] >= self._options.confidence]
            identity = [names[i] if i in names else next(strangers) for i in rows]
            yield People(
                boxes.xyxy[rows].astype(np.float32), boxes.conf[rows].astype(np.float32), np.array(identity, np.int32)
            )

    def _tracker(self) -> Any:
        """A tracker that has seen nothing, with ultralytics' own settings but for the options."""
        _ultralytics.closed()
        from ultralytics.trackers.track import TRACKER_MAP  # pyright: ignore[reportMissingImports]
        from ultralytics.utils import ROOT, YAML, IterableSimpleNamespace  # pyright: ignore[reportMissingImports]

        options = self._options
        settings = YAML.load(str(ROOT / "cfg" / "trackers" / f"{options.tracker}.yaml")) | {
            "track_high_thresh": options.confidence,
            "new_track_thresh": options.confidence,
            "track_low_thresh": options.low_confidence,
            "track_buffer": options.track_buffer,
            "match_thresh": options.match_thresh,
            "with_reid": False,
        }
        return TRACKER_MAP[options.tracker](IterableSimpleNamespace(**settings))
