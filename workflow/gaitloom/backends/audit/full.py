"""The judges of a release: YuNet and RetinaFace, none of which made a region or chose a level, and YOLOv8 as a person
finder of its own."""

from pydantic import Field

from gaitloom.backends import CPU, Device, Needs, Spec, _ultralytics
from gaitloom.backends.audit import _judges
from gaitloom.backends.faces import retinaface, yunet
from gaitloom.backends.faces.retinaface import Options as RetinaFace
from gaitloom.backends.faces.yunet import Options as YuNet
from gaitloom.strict import Strict


class Finder(_ultralytics.Options):
    """Which YOLO model finds people."""

    weights: str = Field("yolov8n.pt", description="Name of a registered weight file, or the path of one.")


class Options(Strict):
    """The three models."""

    yunet: YuNet = Field(YuNet(), description="Options of faces: yunet.")  # pyright: ignore[reportCallIssue]
    retinaface: RetinaFace = Field(RetinaFace(), description="Options of faces: retinaface.")  # pyright: ignore[reportCallIssue]
    yolov8: Finder = Field(Finder(), description="Weights and options of the person finder.")  # pyright: ignore[reportCallIssue]


SPEC = Spec(
    version=1,
    options=Options,
    packages=tuple(
        dict.fromkeys((*yunet.SPEC.packages, *retinaface.SPEC.packages, *_ultralytics.PACKAGES, *_judges.POSE_PACKAGES))
    ),
    licence=_ultralytics.LICENCE,
    weights=(_judges.POSE,),
    environment="torch",
    accelerated=True,
    needs=Needs(memory_mb=3000, seconds=0.5, seconds_mpx=0.1),
)


class Backend(_judges.Judges):
    """YuNet, then RetinaFace; YuNet alone over full frames."""

    tier = "full"
    judges = ("yunet", "retinaface")
    disjoint = True
    every = 5

    def __init__(self, options: Options, device: Device = CPU):
        first = yunet.Backend(options.yunet)
        super().__init__(first, retinaface.Backend(options.retinaface, device), first, side=1280)
        self.people = _judges.Finder(options.yolov8, device).people
