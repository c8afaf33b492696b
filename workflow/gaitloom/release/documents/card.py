"""The head of README.md, which the Hugging Face hub reads, and how each layout is opened."""

from typing import Any

import yaml

from gaitloom.release.contents import Archive, Contents
from gaitloom.release.documents.facts import Facts
from gaitloom.release.metadata import licences

# The hub's words (huggingface.co/docs/hub/datasets-cards, repositories-licenses).
LICENCES = {name: name.lower() for name in licences.NAMES} | {"ODbL-1.0": "odbl"}
SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
TASKS = {"keypoints": "keypoint-detection", "silhouette": "image-segmentation", "gait": "tabular-regression"}
TABLES = ("clips", "participants", "gait")

UNZIP = """import glob, shutil
for archive in glob.glob("data/{exporter}_*.zip"):
    shutil.unpack_archive(archive, "{exporter}")
"""
# Layout → a suffix of its files, and what opens one of them; the first that there is stands in the card. No names of
# clips: where access is to be asked for, everybody can read the card.
OPENED = {
    "health_gait": [(".csv", 'import pandas\npeople = pandas.read_csv("health_gait/participants_measures.csv")')],
    "progait": [
        (".jsonl", 'import datasets\nvideos = datasets.load_dataset("progait", split="train")'),
        (".gz", 'import gzip, numpy\narray = numpy.load(gzip.open(glob.glob("progait/annotations/*/*.npy.gz")[0]))'),
    ],
    "cgv": [(".parquet", 'import pandas\nframes = pandas.read_parquet(glob.glob("cgv/parquet/*/*.parquet")[0])')],
    "opengait": [(".pkl", 'import pickle\nframes = pickle.load(open(glob.glob("opengait/pkl/*/*/*/*.pkl")[0], "rb"))')],
    "coco": [(".json", 'from pycocotools.coco import COCO\ncoco = COCO(glob.glob("coco/annotations/*/*.json")[0])')],
    "alphapose": [(".json", 'import json\nframes = json.load(open(glob.glob("alphapose/*/*/*.json")[0]))')],
}
ZARR = """import xarray, zarr
store = zarr.storage.ZipStore("{place}", mode="r")
clips = zarr.open_group(store, mode="r").attrs["clips"]  # pandas.DataFrame(**clips)
"""
ZARR_SPLIT = """import glob, shutil, xarray, zarr
for archive in sorted(glob.glob("data/{what}-*.zip")):
    shutil.unpack_archive(archive, "{what}")
store = "{what}"
clips = zarr.open_group(store, mode="r").attrs["clips"]
"""
ZARR_CLIP = """clip = xarray.open_datatree(store, group=clips["data"][0][0], engine="zarr", consolidated=False)"""


def head(contents: Contents, facts: Facts) -> str:
    """The card's head: YAML."""
    settings, tier = contents.dataset.settings, contents.dataset.tier
    licence = settings.licence(tier)
    about: dict[str, Any] = {"pretty_name": settings.title, "license": LICENCES.get(licence, "other")}
    if about["license"] == "other":
        about |= {"license_name": licence.removeprefix("LicenseRef-").lower(), "license_link": "LICENSE.txt"}
    held = {node.modality for node in facts.nodes.values()}
    clips = len(contents.parts)
    labels = [f"labels/{p.stem}" for p in sorted((contents.data / "labels").glob("*.tsv"))]
    about |= {
        "language": ["en"],
        "size_categories": [next((name for limit, name in SIZES.items() if clips < limit), "n>1M")],
        "task_categories": [task for modality, task in TASKS.items() if modality in held] or ["other"],
        "tags": list(settings.keywords),
        "configs": [_config(n) for n in (*TABLES, *labels) if (contents.data / f"{n}.tsv").is_file()],
    }
    if tier != "open":
        about["extra_gated_prompt"] = (
            "You agree to the terms in DATA_USE.md: no identification, no sharing, deletion on withdrawal."
        )
        fields = {"Institution": "text", "Purpose": "text", "I have read DATA_USE.md and agree to it": "checkbox"}
        about["extra_gated_fields"] = fields
    return yaml.safe_dump(about, sort_keys=False, allow_unicode=True, width=10_000)


def _config(table: str) -> dict[str, Any]:
    config = {"config_name": table.replace("/", "_"), "data_files": f"data/{table}.tsv", "sep": "\t"}
    return {**config, "default": True} if table == TABLES[0] else config


def opened(contents: Contents) -> dict[str, str]:
    """Layout → lines of Python that open it, to be run in the release's folder."""
    found: dict[str, str] = {}
    for exporter in dict.fromkeys(a.exporter for a in contents.archives):
        archives = [a for a in contents.archives if a.exporter == exporter]
        suffixes = {suffix for archive in archives for suffix in archive.suffixes}
        if exporter == "zarr":
            found[exporter] = _zarr(archives)
        elif code := next((code for suffix, code in OPENED[exporter] if suffix in suffixes), ""):
            found[exporter] = UNZIP.format(exporter=exporter) + code
    return found


def _zarr(archives: list[Archive]) -> str:
    whole = sorted((a for a in archives if a.name == f"zarr_{a.what}.zip"), key=lambda a: a.what != "keypoints")
    start = ZARR.format(place=f"data/{whole[0].name}") if whole else ZARR_SPLIT.format(what=f"zarr_{archives[0].what}")
    return start + ZARR_CLIP
