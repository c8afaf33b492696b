"""The configuration: one strict definition, from which the JSON Schema for editors is exported too."""

import difflib
import hashlib
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from gaitloom import backends, clips, decisions, modalities, weights
from gaitloom.cameras import Camera
from gaitloom.clips import Clip
from gaitloom.errors import GaitloomError
from gaitloom.release.settings import Release
from gaitloom.split_settings import Splits
from gaitloom.strict import Strict
from gaitloom.technical_validation.settings import TechnicalValidation
from gaitloom.weight_files import AnyWeight

DEVICE = r"^(cpu|cuda(:\d+)?)$"
GPU_BATCH = 8
LEARNED = ("gait", "silhouette", "parts", "flow", "deidentified")  # modalities from which targets are told
SHOWN = ("track", "keypoints", "silhouette", "parts", "flow", "deidentified")  # what a preview is made of


class Clips(Strict):
    """Where the videos lie and how they become clips."""

    folders: tuple[Path, ...] = Field(description="Folders that hold raw videos; searched with subfolders.")
    sheet: Path | None = Field(
        None, description="Clip sheet (TSV) written by hand: rows for the videos whose names do not say it all."
    )
    withdrawn: Path = Field(
        Path("config/withdrawn.tsv"),
        description="Marks of who withdrew, which `gaitloom withdraw` writes; their key lies beside it.",
    )
    pattern: str = Field(
        "{subject}_{session}_{trial}_{camera}",
        description="How a video's path below its folder, without extension, reads: fields in braces are the key's "
        "parts (subject, session, trial, camera, segment) or extra columns.",
    )
    columns: tuple[str, ...] = Field(
        ("condition", "speed", "clothing", "footwear", "aid", "view", "notes"),
        description="Extra columns that the sheet may carry; they go through into the store.",
    )
    extensions: tuple[str, ...] = Field(
        (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".mts", ".webm"),
        description="File-name endings that count as videos, in lower case.",
    )

    @field_validator("columns")
    @classmethod
    def _columns_are_extra(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        for column in columns:
            if column in clips.COLUMNS or column in clips.BY_HAND:
                raise ValueError(f"'{column}' is a column that every sheet has; remove it here")
        return columns

    @model_validator(mode="after")
    def _pattern_names_a_subject(self) -> "Clips":
        names = re.findall(r"\{(.*?)\}", self.pattern)
        if "subject" not in names:
            raise ValueError("clips.pattern: the pattern needs the field {subject}")
        if len(set(names)) != len(names):
            raise ValueError("clips.pattern: the pattern names a field twice")
        known = (*clips.KEY, *self.columns)
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean '{near[0]}'?" if near else "list it under clips.columns, or take it out"
                raise ValueError(f"clips.pattern: '{name}' is no part of a clip's key and no extra column; {hint}")
        return self


class Kept(Strict):
    """The parts of a recipe that stay as an earlier version of GaitLoom wrote them."""

    modality_version: int | None = Field(None, ge=1, description="The modality's version then.")
    backend_version: int | None = Field(None, ge=1, description="The backend's version then.")
    options: dict[str, Any] | None = Field(None, description="All of the modality's options, as the recipe has them.")
    backend_options: dict[str, Any] | None = Field(None, description="All of the backend's, as the recipe has them.")
    weights: dict[str, str] | None = Field(None, description="Weight files and their SHA-256, as the recipe has them.")
    licence: str | None = Field(None, description="The backend's licence, as the recipe has it.")

    def recipe(self) -> dict[str, Any]:
        """These parts, as they stand in a recipe."""
        return self.model_dump(exclude_none=True)


class Node(Strict):
    """One derived product: how it is made, and from which other nodes."""

    backend: str = Field(description="Name of a file in workflow/gaitloom/backends/<modality>/.")
    options: dict[str, Any] = Field({}, description="Options of the modality (see config/README.md).")
    backend_options: dict[str, Any] = Field({}, description="Options of the backend (see config/README.md).")
    reads: dict[str, str] = Field(
        {},
        description="Which node to read for a modality, if not its manual one, else the one of the same name.",
    )
    kept: Kept = Field(
        Kept(),  # pyright: ignore[reportCallIssue]
        description="What an earlier version of GaitLoom wrote into its recipe: nodes made so stay, and none is made.",
    )
    device: str | None = Field(None, pattern=DEVICE, description="Where its model runs, if not as the whole run.")
    batch: int | None = Field(None, ge=1, description="Frames that its model is given at once: 1 on a CPU, 8 on a GPU.")


class Preview(Strict):
    """Which nodes the overlay videos and the contact sheet show; null leaves one out."""

    track: str | None = Field("track", description="The node whose boxes are drawn.")
    keypoints: str | None = Field("keypoints", description="The node whose skeleton is drawn.")
    silhouette: str | None = Field("silhouette", description="The node whose outline is drawn.")
    parts: str | None = Field("parts", description="The node whose parts are coloured.")
    flow: str | None = Field("flow_tvl1", description="The node whose colours fill a corner.")
    deidentified: str | None = Field(
        "deidentified", description="The node whose pictures lie below; without one, nothing does."
    )
    height: int = Field(540, ge=120, le=2160, description="Height of the overlay video in pixels.")


class Review(Strict):
    """Where people's decisions on clips stand, and which audit they are about."""

    decisions: Path | None = Field(
        decisions.DEFAULT,
        description="Decision file (TSV) written by hand: what to cover, accept or exclude. At the default path it may "
        "be absent; null for none.",
    )
    audit: str = Field("audit", description="The audit node by which the release rules go.")


class Config(Strict):
    """The whole of config/config.yaml."""

    results: Path = Field(Path("results"), description="Folder of everything that is made.")
    clips: Clips = Field(description="Where the videos lie and how they become clips.")
    cameras: dict[str, Camera] = Field({}, description="What is known of each camera.")
    nodes: dict[str, Node] = Field(
        description="The derived products. A name is a modality, or modality_variant (flow_tvl1); null drops one."
    )
    device: str = Field(
        "cpu",
        pattern=DEVICE,
        description="Where models run that can run on a GPU: cpu, cuda, or cuda:N. No recipe's part.",
    )
    preview: Preview = Field(Preview(), description="What the overlay videos show.")  # pyright: ignore[reportCallIssue]
    review: Review = Field(
        Review(),  # pyright: ignore[reportCallIssue]
        description="What people decided when they looked at the clips.",
    )
    splits: Splits | None = Field(None, description="Who is trained on, and who is tested; null for no splits.")
    technical_validation: TechnicalValidation | None = Field(
        None, description="What is told from what over the splits; null for nothing."
    )
    release: Release | None = Field(None, description="What leaves the laboratory, and for whom; null for nothing.")
    accept_licences: tuple[str, ...] = Field(
        (), description="Licences with conditions that you accept, by name (AGPL-3.0, or not for commercial use)."
    )

    @field_validator("nodes", mode="before")
    @classmethod
    def _null_drops_a_node(cls, nodes: Any) -> Any:
        return {k: v for k, v in nodes.items() if v is not None} if isinstance(nodes, dict) else nodes

    @model_validator(mode="after")
    def _nodes_fit_together(self) -> "Config":
        for name in self.nodes:
            if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name):
                raise ValueError(f"nodes.{name}: a node's name is lower-case words joined by '_'")
            modality_of(name)
            if modality_of(name) == "video":
                raise ValueError(f"nodes.{name}: the video node is always made; remove it from the nodes")
            self.options_of(name)
            self.backend_options_of(name)
            self.reads_of(name)
            self.device_of(name)
            licence = self._spec(name).licence
            if refused := weights.unaccepted(licence, self.weights_of(name), self.accept_licences):
                raise ValueError(f"nodes.{name}: {refused}")
        for role in SHOWN:
            shown = getattr(self.preview, role)
            if shown is None or (shown not in self.nodes and shown == Preview.model_fields[role].default):
                continue
            if shown not in self.nodes or modality_of(shown) != role:
                raise ValueError(f"preview.{role}: '{shown}' is not a {role} node here; name another, or null")
        audit = self.review.audit
        if audit != "audit" and (audit not in self.nodes or modality_of(audit) != "audit"):
            raise ValueError(f"review.audit: '{audit}' is not an audit node here; name another")
        self.order()
        return self

    @model_validator(mode="after")
    def _validation_goes_by_splits(self) -> "Config":
        chosen = self.technical_validation
        if chosen is not None and self.splits is None:
            raise ValueError("technical_validation: it goes by the splits; add the table 'splits'")
        for node in chosen.inputs if chosen is not None and "inputs" in chosen.model_fields_set else ():
            if node not in self.nodes or modality_of(node) not in LEARNED:
                raise ValueError(
                    f"technical_validation.inputs: '{node}' is no node here of {', '.join(LEARNED)}; name another"
                )
        return self

    def options_of(self, node: str) -> Any:
        """The validated options of a node's modality, defaults filled in."""
        return _options(modalities.find(modality_of(node)).Options, self.nodes[node].options, f"nodes.{node}.options")

    def backend_options_of(self, node: str) -> Any:
        """The validated options of a node's backend, defaults filled in."""
        try:
            spec = self._spec(node)
        except GaitloomError as error:
            raise ValueError(f"nodes.{node}.backend: {error}") from None
        return _options(spec.options, self.nodes[node].backend_options, f"nodes.{node}.backend_options")

    def weights_of(self, node: str) -> tuple[AnyWeight, ...]:
        """Every weight file that a node's backend loads: those of its SPEC, and the one that its options choose."""
        fixed = self._spec(node).weights
        try:
            return (*fixed, *weights.chosen(self.backend_options_of(node)))
        except GaitloomError as error:
            raise ValueError(f"nodes.{node}.backend_options.weights: {error}") from None

    def device_of(self, node: str) -> backends.Device:
        """Where a node's model runs, and how many frames it is given at once."""
        chosen = self.nodes[node]
        if not self._spec(node).accelerated:
            if chosen.device not in (None, "cpu"):
                raise ValueError(f"nodes.{node}.device: {chosen.backend} runs on the CPU only; remove the key")
            return backends.CPU
        name = chosen.device or self.device
        return backends.Device(name, chosen.batch or (1 if name == "cpu" else GPU_BATCH))

    def files_of(self, node: str) -> Callable[[Clip], dict[str, Path]] | None:
        """Names a clip's files from which a node is made; None where it is made from pixels."""
        files = None if node == "video" else self._spec(node).files
        return partial(files, self.backend_options_of(node)) if files else None

    def _spec(self, node: str) -> backends.Spec:
        return backends.find(modality_of(node), self.nodes[node].backend).SPEC

    def reads_of(self, node: str) -> dict[str, str]:
        """Modality → node, for every node that this one reads; always with `video`."""
        if node == "video":
            return {}
        chosen = dict(self.nodes[node].reads)
        reads = {"video": "video"}
        needed = self._spec(node).reads
        for modality in modalities.find(modality_of(node)).READS if needed is None else needed:
            reads[modality] = chosen.pop(modality, None) or self.preferred(modality, node)
            if reads[modality] not in self.nodes or modality_of(reads[modality]) != modality:
                raise ValueError(
                    f"nodes.{node}.reads.{modality}: '{reads[modality]}' is not a {modality} node here; "
                    f"add it under nodes, or name another"
                )
        if chosen:
            raise ValueError(f"nodes.{node}.reads: a {modality_of(node)} node reads no {', '.join(chosen)}")
        return reads

    def preferred(self, modality: str, reader: str | None = None) -> str:
        """The node that others read for a modality: the manual one where there is one, else that of the same name."""
        manual = f"{modality}_manual"
        return manual if manual in self.nodes and reader != manual else modality

    def order(self) -> list[str]:
        """Every node, `video` first, each after those that it reads; otherwise by name."""
        done: list[str] = ["video"]
        left = sorted(self.nodes)
        while left:
            ready = [n for n in left if set(self.reads_of(n).values()) <= set(done)]
            if not ready:
                raise ValueError(f"nodes.{left[0]}.reads: these nodes read each other in a circle: {', '.join(left)}")
            done += ready
            left = [n for n in left if n not in ready]
        return done

    def digest(self) -> str:
        """SHA-256 of the configuration, whatever the order of its keys."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def modality_of(node: str) -> str:
    """`flow_tvl1` → `flow`: a node's name begins with its modality."""
    modality = node.split("_")[0]
    if modality not in modalities.NAMES:
        raise ValueError(f"nodes.{node}: a node's name begins with a modality, one of: {', '.join(modalities.NAMES)}")
    return modality


def _options(model: type[BaseModel], values: dict[str, Any], where: str) -> BaseModel:
    try:
        return model(**values)
    except ValidationError as error:
        raise ValueError(_sentence(error, model, where)) from None


def _sentence(error: ValidationError, model: type[BaseModel], where: str = "") -> str:
    """One fault of a validation, as a sentence with the key's full path and the nearest known key.

    An unknown key comes first: a misspelt one is also missing under its right name.
    """
    fault = min(error.errors(), key=lambda f: f["type"] != "extra_forbidden")
    path = ".".join([where, *map(str, fault["loc"])]).strip(".")
    if fault["type"] == "extra_forbidden":
        for part in fault["loc"][:-1]:
            model = _submodel(model, part)
        near = difflib.get_close_matches(str(fault["loc"][-1]), list(model.model_fields), 1)
        hint = (
            f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(sorted(model.model_fields)) or 'none'}."
        )
        return f"{path}: unknown key; {hint}"
    message = fault["msg"].removeprefix("Value error, ")
    whole = message.startswith(("clips.", "nodes.", "preview.", "review.", "release.", "technical_validation"))
    return message if whole else f"{path}: {message}"


def _submodel(model: type[BaseModel], part: int | str) -> type[BaseModel]:
    field = model.model_fields.get(str(part))
    if field is None:  # the name of an entry in a table of sections
        return model
    kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), model)


def parse(values: dict[str, Any], source: str = "the configuration") -> Config:
    """Validate a configuration given as plain values.

    Raises:
        GaitloomError: a key is unknown or a value is wrong; the sentence names the source and the key.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise GaitloomError(f"{source}: {_sentence(error, Config)}") from None


def load(path: Path) -> Config:
    """Read and validate a YAML (or JSON) configuration file.

    Raises:
        GaitloomError: the file is missing, is not YAML, or is not valid.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GaitloomError(f"There is no configuration at {path}; give its path with --config.") from None
    except OSError as error:
        raise GaitloomError(f"{path} cannot be read ({error.strerror}); give the file's path with --config.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise GaitloomError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(values, dict):
        raise GaitloomError(f"{path} holds no configuration; see config/README.md.")
    return parse(values, str(path))


def schema() -> dict[str, Any]:
    """The configuration's JSON Schema; config/schema.json is this, kept in step by a test."""
    document = Config.model_json_schema()
    node = document["properties"]["nodes"]["additionalProperties"]
    document["properties"]["nodes"]["additionalProperties"] = {"anyOf": [node, {"type": "null"}]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}


def schema_text() -> str:
    """The schema as it stands in config/schema.json."""
    return json.dumps(schema(), indent=2) + "\n"
