"""Leaks to plant into a finished release: each puts something into its archives that must not be there, makes its
metadata anew, so that no checksum tells of it, and says by which sentence it is to be found."""

import csv
import gzip
import io
import json
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from gaitloom import fragments
from gaitloom.release import archives
from gaitloom.release.contents import Contents
from gaitloom.release.dataset import Dataset
from gaitloom.release.metadata import bag
from gaitloom.store import file_sha256

from . import sample

Leak = Callable[[Contents], str]


def copied(contents: Contents, folder: Path, *keep: str) -> Contents:
    """A copy of a release with its tables and, of its archives, those that are named."""
    gone = {p.name for p in contents.data.glob("*.zip")} - set(keep)
    shutil.copytree(contents.folder, folder, ignore=lambda _, names: gone & set(names))
    return replace(contents, folder=folder)


def remake(contents: Contents) -> None:
    """Make the manifests anew over what is there, and put the new hashes into the other metadata."""
    folder = contents.folder
    before = dict(line.split("  ", 1)[::-1] for line in (folder / bag.SUMS).read_text().splitlines())
    for name in ("croissant.json", "ro-crate-metadata.json"):
        text = (folder / name).read_text()
        for path, sha256 in before.items():
            if (folder / path).is_file():
                text = text.replace(sha256, file_sha256(folder / path))
        (folder / name).write_text(text)
    bag.write(replace(contents, archives=[]))


def put(contents: Contents, archive: str, changes: Mapping[str, bytes | None]) -> None:
    """Change, add or (None) take out members, in the archive's canonical form."""
    path, work = contents.data / archive, contents.folder / ".work"
    if path.is_file():
        with zipfile.ZipFile(path) as file:
            file.extractall(work)
    for name, data in changes.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).unlink() if data is None else (work / name).write_bytes(data)
    archives.pack(work, path)
    shutil.rmtree(work)
    remake(contents)


def get(contents: Contents, archive: str, end: str) -> tuple[str, bytes]:
    """The first member whose name ends so, with its bytes."""
    with zipfile.ZipFile(contents.data / archive) as file:
        name = next(n for n in file.namelist() if n.endswith(end))
        return name, file.read(name)


def clip_of(contents: Contents) -> tuple[str, str, str, int]:
    """Of the first released clip: subject and name as released, its real subject, its number in `sample.CLIPS`."""
    entry = contents.dataset.entries[0]
    return entry.subject, entry.name, entry.clip.subject, sorted(contents.dataset.plan.accepted).index(entry.clip.path)


def _frame(contents: Contents, number: int = 20) -> np.ndarray:
    """(H, W, 3) uint8 BGR, as the camera saw it."""
    return list(sample.walk(clip_of(contents)[3]).frames())[number][..., ::-1]


def _mp4(pictures: np.ndarray, **tags: str) -> bytes:
    """An MP4 as anybody's program writes it, with tags; without any, as bare as ours are."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4", options={} if tags else {"fflags": "+bitexact"}) as container:
        container.metadata.update(tags)
        stream = container.add_stream("libx264", rate=sample.FPS, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = *sample.SIZE, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return out.getvalue()


def _decoded(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data), "r") as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def _raw_pictures(contents: Contents) -> np.ndarray:
    return np.stack(list(sample.walk(clip_of(contents)[3]).frames()))


def raw_frame(contents: Contents) -> str:
    """A frame of the camera's, called a silhouette."""
    subject = clip_of(contents)[0]
    picture = cv2.imencode(".jpg", _frame(contents))[1].tobytes()
    put(contents, "health_gait_data.zip", {f"silhouette/{subject}/UGS/NW-WJ_2_YOLOV8/020.jpg": picture})
    return r"020\.jpg is a picture of the scene, and no layout holds"


def raw_video(contents: Contents) -> str:
    """The raw video, as bare as a released one, in its place."""
    member, _ = get(contents, "progait_videos.zip", ".mp4")
    name, _ = get(contents, "progait_videos.zip", member.replace("previews", "videos"))
    put(contents, "progait_videos.zip", {name: _mp4(_raw_pictures(contents))})
    return r"videos/.*\.mp4 shows a raw frame: what the ledger covers in frame \d+ is there"


def raw_in_the_store(contents: Contents) -> str:
    """The raw video in the place of the de-identified one, as an array."""
    chunk, _ = get(contents, "zarr_deidentified.zip", "/mp4/c/0")
    encoded = fragments.encode(_raw_pictures(contents), range(sample.LENGTH), Fraction(1, sample.FPS))
    about = f"{chunk.removesuffix('/c/0')}/zarr.json"
    document = json.loads(get(contents, "zarr_deidentified.zip", about)[1])
    document["shape"] = document["chunk_grid"]["configuration"]["chunk_shape"] = [len(encoded.mp4)]
    members = {chunk: encoded.mp4.tobytes(), about: json.dumps(document).encode()}
    put(contents, "zarr_deidentified.zip", members)
    return r"/mp4/zarr\.json shows a raw frame: what the ledger covers"


def one_raw_head(contents: Contents) -> str:
    """A released video with one head uncovered in its ledger's first frames."""
    member, data = get(contents, "progait_videos.zip", "_s.mp4")
    name, data = get(contents, "progait_videos.zip", member.replace("previews", "videos"))
    pictures = _decoded(data)
    pictures[:2] = _raw_pictures(contents)[:2]
    put(contents, "progait_videos.zip", {name: _mp4(pictures)})
    return r"videos/.*\.mp4 shows a raw frame: what the ledger covers in frame 0 is there"


def raw_array(contents: Contents) -> str:
    """Raw pictures as a gzipped array of masks."""
    name, _ = get(contents, "progait_masks.zip", "_masks.npy.gz")
    out = io.BytesIO()
    np.save(out, _raw_pictures(contents)[..., :1])
    put(contents, "progait_masks.zip", {name: gzip.compress(out.getvalue(), mtime=0)})
    return r"_masks\.npy\.gz holds pictures of the scene as an array"


def raw_pickle(contents: Contents) -> str:
    """Raw pictures, small and grey, as OpenGait's silhouettes."""
    name, _ = get(contents, "opengait_silhouette.zip", "_sil.pkl")
    small = np.stack([cv2.resize(p[..., 1], (64, 64)) for p in _raw_pictures(contents)])
    put(contents, "opengait_silhouette.zip", {name: pickle.dumps(small)})
    return r"1_sil\.pkl holds pictures of the scene as an array"


def unconsented(contents: Contents) -> str:
    """Flow, in a tier that holds none."""
    subject, name, *_ = clip_of(contents)
    put(contents, "zarr_keypoints.zip", {f"{subject}/{name}/flow_dis/flow/c/0/0/0/0": b"\x28\xb5\x2f\xfd123"})
    return r"flow_dis/flow/c/0/0/0/0 is of flow, which the open tier may not hold"


def masks_in_coco(contents: Contents) -> str:
    """A mask in COCO's annotations, in a tier without silhouettes."""
    name, data = get(contents, "coco_data.zip", "cam-sagittal.json")
    document = json.loads(data)
    document["annotations"][0]["segmentation"] = {"size": [120, 160], "counts": "0123"}
    put(contents, "coco_data.zip", {name: json.dumps(document).encode()})
    return r"cam-sagittal\.json is of silhouette, which the open tier may not hold"


def forbidden_column(contents: Contents) -> str:
    """The weights, as Health&Gait has them, in a tier without."""
    name, data = get(contents, "health_gait_data.zip", "participants_measures.csv")
    rows = [line + cell for line, cell in zip(data.decode().splitlines(), (",Weight", ",64.2", ",82.9"), strict=True)]
    put(contents, "health_gait_data.zip", {name: "\n".join(rows).encode()})
    return r"participants_measures\.csv has the column 'Weight', which the open tier may not have"


def finer_precision(contents: Contents) -> str:
    """Ages in Health&Gait's table as they were measured, where the tier has bands."""
    name, data = get(contents, "health_gait_data.zip", "participants_measures.csv")
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    rows[0]["Age"] = "34.5"
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    put(contents, "health_gait_data.zip", {name: out.getvalue().encode()})
    return r"participants_measures\.csv has '34\.5' in column Age, where participants\.tsv has '"


def exact_participants(contents: Contents) -> str:
    """An exact age in the release's own table."""
    path = contents.data / "participants.tsv"
    path.write_text(path.read_text().replace("50-64", "61.2"))
    remake(contents)
    return r"participants\.tsv has '61\.2' in column age, finer than the open tier may tell"


def name_in_a_member(contents: Contents) -> str:
    """A folder that bears a real name."""
    real = clip_of(contents)[2]
    put(contents, "alphapose_data.zip", {f"{real}/ses-1/alphapose-results.json": b"[]"})
    return rf"{real}/ses-1/alphapose-results\.json holds '{real.lower()}', a subject's name"


def name_in_json(contents: Contents) -> str:
    """A real name in other letters within a JSON."""
    real = clip_of(contents)[2]
    name, data = get(contents, "alphapose_data.zip", "index.json")
    document = json.loads(data)
    document["clips"][0]["note"] = f"walk_of_{real.upper()}_again"
    put(contents, "alphapose_data.zip", {name: json.dumps(document).encode()})
    return rf"index\.json holds '{real.lower()}', a subject's name"


def name_in_an_attribute(contents: Contents) -> str:
    """The name of a session, which is a date, in an attribute of an array."""
    name, data = get(contents, "zarr_keypoints.zip", "keypoints/xy/zarr.json")
    document = json.loads(data)
    document["attributes"]["comment"] = f"session {sample.SESSION}"
    put(contents, "zarr_keypoints.zip", {name: json.dumps(document).encode()})
    return rf"keypoints/xy/zarr\.json holds the date '{sample.SESSION}'"


def name_in_an_array(contents: Contents) -> str:
    """Names in an array of strings, 4 bytes a letter."""
    subject, _, real, _ = clip_of(contents)
    out = io.BytesIO()
    np.save(out, np.array([real, "x"]))
    name = f"annotations/inside/{subject}_0_1_s_keypoints.npy.gz"
    put(contents, "progait_keypoints.zip", {name: gzip.compress(out.getvalue(), mtime=0)})
    return rf"_keypoints\.npy\.gz holds '{real.lower()}', a subject's name"


def name_in_parquet(contents: Contents) -> str:
    """A real name in a column of a Parquet file, compressed."""
    import pyarrow
    from pyarrow import parquet

    name, data = get(contents, "cgv_parquet.zip", ".parquet")
    table = parquet.read_table(io.BytesIO(data))
    table = table.append_column("note", pyarrow.array([clip_of(contents)[2]] * len(table)))
    parquet.write_table(table, out := io.BytesIO(), compression="zstd")
    put(contents, "cgv_parquet.zip", {name: out.getvalue()})
    return r"\.parquet holds 'bertamuster|\.parquet holds 'carlbeispiel"


def name_in_a_document(contents: Contents) -> str:
    """A real name in the changelog."""
    path = contents.folder / "CHANGELOG.md"
    path.write_text(path.read_text() + f"\nWithdrawn: {clip_of(contents)[2]}.\n")
    remake(contents)
    return r"CHANGELOG\.md holds '(bertamuster|carlbeispiel)', a subject's name"


def file_name(contents: Contents) -> str:
    """A video's name in a list of files."""
    video = Path(contents.dataset.entries[0].clip.video).stem
    name, data = get(contents, "alphapose_data.zip", "index.json")
    put(contents, "alphapose_data.zip", {name: data.replace(b'"file": "', b'"file": "' + video.encode() + b"/", 1)})
    return rf"index\.json holds '{video.lower()}', the name of a file"


def absolute_path(contents: Contents) -> str:
    """Where somebody's data lies."""
    name, data = get(contents, "zarr_gait.zip", "gait/zarr.json")
    put(contents, "zarr_gait.zip", {name: data.replace(b'"modality"', b'"from":"/home/jo/study","modality"', 1)})
    return r"gait/zarr\.json holds the folder '/home/jo'"


def results_path(contents: Contents) -> str:
    """The laboratory's own folder, wherever that is."""
    name, data = get(contents, "zarr_gait.zip", "gait/zarr.json")
    results = str(contents.dataset.plan.config.results.absolute()).encode()
    put(contents, "zarr_gait.zip", {name: data.replace(b'"modality"', b'"from":"%b/x","modality"' % results, 1)})
    return r"gait/zarr\.json holds '.*', a folder of the laboratory"


def date_in_exif(contents: Contents) -> str:
    """When a picture was taken."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x32\x01\x02\0\x14\0\0\0\x1a\0\0\0\0\0\0\x002024:05:17 10:11:12\0"
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    black = cv2.imencode(".jpg", np.zeros((120, 160), np.uint8))[1].tobytes()
    name = f"silhouette/{clip_of(contents)[0]}/UGS/NW-WJ_2_YOLOV8/000.jpg"
    put(contents, "health_gait_data.zip", {name: black[:2] + segment + black[2:]})
    return r"000\.jpg has EXIF or another JPEG segment APP1"


def text_in_png(contents: Contents) -> str:
    """A comment in a picture."""
    black = cv2.imencode(".png", np.zeros((120, 160), np.uint8))[1].tobytes()
    chunk = struct.pack(">I", 9) + b"tEXtAuthor\0Jo" + b"\0\0\0\0"
    name = f"semantic_segmentation/{clip_of(contents)[0]}/UGS/NW-WJ_2_DensePose/000.png"
    put(contents, "health_gait_data.zip", {name: black[:33] + chunk + black[33:]})
    return r"000\.png has a PNG chunk tEXt"


def container_tag(contents: Contents) -> str:
    """When a video was made, as cameras write it; its pictures are the released ones."""
    member, data = get(contents, "progait_videos.zip", "_s.mp4")
    pictures = _decoded(data)
    tagged = _mp4(pictures, creation_time="2024-05-17T10:11:12Z", comment="Berta's walk")
    put(contents, "progait_videos.zip", {member: tagged})
    return r"\.mp4 has a creation time in its container \('mvhd'\)"


def gzip_header(contents: Contents) -> str:
    """When an array was compressed, and the name of the file that it was."""
    name, data = get(contents, "progait_keypoints.zip", "_keypoints.npy.gz")
    out = io.BytesIO()
    with gzip.GzipFile("walk.npy", "wb", fileobj=out, mtime=1_715_940_672) as file:
        file.write(gzip.decompress(data))
    put(contents, "progait_keypoints.zip", {name: out.getvalue()})
    return r"_keypoints\.npy\.gz has a time in its gzip header"


def raw_digest(contents: Contents) -> str:
    """The SHA-256 of a raw video."""
    sha256 = contents.dataset.entries[0].clip.sha256
    name, data = get(contents, "zarr_keypoints.zip", "keypoints/zarr.json")
    put(
        contents,
        "zarr_keypoints.zip",
        {name: data.replace(b'"digest":"', b'"video":"%b","digest":"' % sha256.encode())},
    )
    return rf"keypoints/zarr\.json holds the digest {sha256[:12]}…"


def recipe_digest(contents: Contents) -> str:
    """The first half of a recipe's digest, without a key."""
    recipe = contents.dataset.entries[0].nodes["keypoints"][:32]
    name, data = get(contents, "alphapose_data.zip", "index.json")
    put(contents, "alphapose_data.zip", {name: data.replace(b'"file"', b'"of": "%b", "file"' % recipe.encode(), 1)})
    return rf"index\.json holds the digest {recipe[:12]}…"


def release_key(contents: Contents) -> str:
    """The tier's key, as bytes in a chunk."""
    key = contents.dataset.settings.keys.read_text().splitlines()[1].split("\t")[1]
    name, data = get(contents, "zarr_keypoints.zip", "/c/0")
    put(contents, "zarr_keypoints.zip", {name: data + bytes.fromhex(key)})
    return r"/c/0 holds a key of release\.keys"


def other_tier(contents: Contents) -> str:
    """Somebody's name in another tier, by which the two could be joined."""
    entry = contents.dataset.entries[0]
    other = Dataset.of(contents.dataset.plan, "registered").names.subject(entry.clip.subject)
    name, data = get(contents, "alphapose_data.zip", "index.json")
    put(contents, "alphapose_data.zip", {name: data.replace(b'"file"', b'"also": "%b", "file"' % other.encode(), 1)})
    return rf"index\.json holds '{other.lower()}', a subject's name in the registered tier"


def somebody_else(contents: Contents) -> str:
    """Points of somebody whom the tier does not hold."""
    put(contents, "alphapose_data.zip", {"PABCDEFGH/trial-1/alphapose-results.json": b"[]"})
    return r"is of 'PABCDEFGH', nobody whom the tier holds"


def zip_comment(contents: Contents) -> str:
    """A comment in an archive."""
    with zipfile.ZipFile(contents.data / "alphapose_data.zip", "a") as archive:
        archive.comment = b"from Jo's disk"
    remake(contents)
    return r"alphapose_data\.zip has a comment"


def zip_date(contents: Contents) -> str:
    """A member with the day on which it was packed."""
    path = contents.data / "alphapose_data.zip"
    with zipfile.ZipFile(path) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, (2024, 5, 17, 10, 11, 12))
            info.external_attr, info.create_system = archives.MODE, 3
            archive.writestr(info, data)
    remake(contents)
    return r"index\.json has a date"


def nested(contents: Contents) -> str:
    """Another archive in an archive."""
    with zipfile.ZipFile(out := io.BytesIO(), "w") as archive:
        archive.writestr("notes.txt", "x")
    put(contents, "alphapose_data.zip", {f"{clip_of(contents)[0]}/more.zip": out.getvalue()})
    return r"more\.zip is an archive in an archive, into which nobody looked"


# Tier, the archives that it touches, and the leak; those of OPEN need no secret to be seen.
CONTROLLED: dict[Leak, str] = {
    raw_frame: "health_gait_data.zip",
    raw_video: "progait_videos.zip",
    raw_in_the_store: "zarr_deidentified.zip",
    one_raw_head: "progait_videos.zip",
    raw_array: "progait_masks.zip",
    raw_pickle: "opengait_silhouette.zip",
    date_in_exif: "health_gait_data.zip",
    text_in_png: "health_gait_data.zip",
    container_tag: "progait_videos.zip",
}
OPEN: dict[Leak, str] = {
    unconsented: "zarr_keypoints.zip",
    masks_in_coco: "coco_data.zip",
    forbidden_column: "health_gait_data.zip",
    finer_precision: "health_gait_data.zip",
    exact_participants: "",
    name_in_a_member: "alphapose_data.zip",
    name_in_json: "alphapose_data.zip",
    name_in_an_attribute: "zarr_keypoints.zip",
    name_in_an_array: "progait_keypoints.zip",
    name_in_parquet: "cgv_parquet.zip",
    name_in_a_document: "",
    file_name: "alphapose_data.zip",
    absolute_path: "zarr_gait.zip",
    results_path: "zarr_gait.zip",
    gzip_header: "progait_keypoints.zip",
    raw_digest: "zarr_keypoints.zip",
    recipe_digest: "alphapose_data.zip",
    release_key: "zarr_keypoints.zip",
    other_tier: "alphapose_data.zip",
    somebody_else: "alphapose_data.zip",
    zip_comment: "alphapose_data.zip",
    zip_date: "alphapose_data.zip",
    nested: "alphapose_data.zip",
}
