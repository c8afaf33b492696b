"""ChildGait-Video's frame records (`exchange.cgv`), a shard a clip: `jsonl/{subject}/{clip}.jsonl`, and the same rows
as `parquet/{subject}/{clip}.parquet`; `index.json` says whose points they are.

They are COCO-WholeBody's first 23, as each record's `keypoint_format` says. `fps` is not cut off to a whole number, as
it is in that data set; beside it stand `fps_exact`, a fraction, and each frame's `time` in seconds. `video_name` is the
clip's released name: a video of that name need not exist.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from gaitloom.exchange import _common, cgv
from gaitloom.keypoint_formats import WHOLEBODY_23
from gaitloom.release.dataset import Dataset, Source
from gaitloom.release.exporters import _held, _made

VERSION = "1"
ROWS = 1024  # of a row group


def clip(source: Source, folder: Path) -> None:
    """Write the clip's records, one for every frame, without people where nobody is seen."""
    node = source.preferred("keypoints")
    if node is None:
        return
    who = _made.person(source, node, WHOLEBODY_23.points)
    about = (who, source.size, source.fps, f"{source.entry.subject}_{source.entry.name}.mp4")
    cgv.write(folder / "jsonl" / "jsonl" / f"{source.entry.path}.jsonl", *about, lines=True, time=source.time)
    rows = cgv.records(*about, time=source.time)
    _write_parquet(folder / "parquet" / "parquet" / f"{source.entry.path}.parquet", rows)


def dataset(dataset: Dataset, folder: Path) -> None:
    """Write the index: which shards are whose, and how their points were made."""
    sources = [(s, node) for s in dataset.sources() if (node := s.preferred("keypoints"))]
    rows = [_made.index(source, f"jsonl/{source.entry.path}.jsonl", [node]) for source, node in sources]
    _made.write_index(folder / "index", rows, keypoint_format=WHOLEBODY_23.name, keypoint_names=WHOLEBODY_23.points)


def refused(dataset: Dataset) -> dict[str, str]:
    """Keypoints for which others stand."""
    return _held.second(dataset, ("keypoints",))


def _write_parquet(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    """Write records under a schema that does not depend on what they hold: all shards of a data set have one."""
    import pyarrow as pa
    from pyarrow import parquet

    numbers = pa.list_(pa.float32())
    person = [("keypoints", pa.list_(numbers)), ("keypoint_scores", numbers), ("bbox", pa.list_(numbers))]
    video = [("video_name", pa.string()), ("width", pa.int32()), ("height", pa.int32()), ("fps", pa.float64())]
    schema = pa.schema(
        [
            ("keypoint_format", pa.string()),
            ("frame_index", pa.int32()),
            ("time", pa.float64()),
            ("video_info", pa.struct([*video, ("fps_exact", pa.string()), ("total_frames", pa.int32())])),
            ("instance_info", pa.list_(pa.struct([*person, ("bbox_score", pa.float32())]))),
        ]
    )
    with _common.writing(path) as file, parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := list(islice(rows, ROWS)):
            writer.write_table(pa.Table.from_pylist(group, schema))
