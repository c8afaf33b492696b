"""The clips of a population, what is to be told of each, and who is learned from.

A population is a tier of the release: its people, its nodes, and its columns as it tells them, so that whoever has the
release can find the same figures. Without a release it is everybody (`ALL`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from gaitloom import split_files
from gaitloom.clips import Clip
from gaitloom.config import modality_of
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.provenance import digest
from gaitloom.release import evgs, labels, participants
from gaitloom.release.consent import MISSING
from gaitloom.release.dataset import Dataset
from gaitloom.splits import Split
from gaitloom.technical_validation.settings import TechnicalValidation

ALL = "all"
LEGS = {"L": "left", "R": "right"}
ALIKE = {"resamples", "seed"}  # settings of the re-identification
BAND = re.compile(r"(?P<low>\d+(\.\d+)?)-(?P<high>\d+(\.\d+)?)")
FEW = 10  # a column with no more different numbers than this is one of classes


@dataclass(frozen=True)
class Target:
    """What is told of each of N clips: `values` (N,) is int64, the number of one of `classes` or -1 where it is not
    known; or float64 and NaN, where `classes` is empty."""

    name: str
    values: np.ndarray
    classes: tuple[str, ...]


def populations(plan: Plan) -> tuple[str, ...]:
    """Those that are validated one by one."""
    return tuple(plan.config.release.tiers) if plan.config.release else (ALL,)


@dataclass(frozen=True)
class Cases:
    """A population's clips, in the order of their paths, with the nodes of each that it holds and their digests."""

    plan: Plan
    population: str
    dataset: Dataset | None
    nodes: dict[str, dict[str, str]]

    @classmethod
    def of(cls, plan: Plan, population: str) -> "Cases":
        """A population's cases.

        Raises:
            GaitloomError: there is no such population.
        """
        if population not in populations(plan):
            known = ", ".join(populations(plan))
            raise GaitloomError(f"'{population}' is no population of the technical validation; there is: {known}.")
        if population == ALL:
            return cls(plan, population, None, {path: plan.digests_of(path) for path in sorted(plan.accepted)})
        dataset = Dataset.of(plan, population)  # type: ignore[arg-type]
        return cls(plan, population, dataset, {e.clip.path: e.nodes for e in sorted(dataset.entries, key=_path)})

    @property
    def settings(self) -> TechnicalValidation:
        """The configuration's.

        Raises:
            GaitloomError: it has none.
        """
        return settings_of(self.plan)

    @cached_property
    def clips(self) -> dict[str, Clip]:
        """`{subject}/{clip}` → clip."""
        return {path: self.plan.accepted[path] for path in self.nodes}

    def inputs(self) -> list[str]:
        """Those nodes of the settings that the population holds."""
        held = {n for nodes in self.nodes.values() for n in nodes}
        return [n for n in self.settings.inputs if n in held]

    def targets(self) -> list[str]:
        """Those targets of the settings that the population knows."""
        return [t for t in self.settings.targets if self._known(t)]

    def having(self, nodes: Iterable[str]) -> list[str]:
        """The clips that have all of these nodes."""
        wanted = set(nodes)
        return [path for path, held in self.nodes.items() if wanted <= held.keys()]

    def subjects(self, paths: list[str]) -> np.ndarray:
        """(N,) the subjects of these clips."""
        return np.array([self.clips[p].subject for p in paths], dtype=str)

    def splits(self) -> list[Split]:
        """The configuration's splits, by the laboratory's names.

        Raises:
            GaitloomError: they are not made, or a subject of the population is in none of them.
        """
        return split_files.of_people(self.plan, {c.subject for c in self.clips.values()})

    def target(self, name: str, paths: list[str]) -> list[Target]:
        """What a target says of these clips: one column, or all of a label table's, those of legs by side.

        Raises:
            GaitloomError: the population does not know it.
        """
        if name in self._labels():
            return [_target(n, values) for n, values in self._of_labels(name, paths).items()]
        if not self._known(name):
            raise GaitloomError(f"'{name}' is no column and no label table of {self.population}; correct its name.")
        return [_target(name, self._column(name, paths))]

    def trials(self) -> list[tuple[str, str]]:
        """What is tried: each target from each input, from pictures those that the video model is asked for."""
        seen = self.settings.video.targets
        return [(t, node) for t in self.targets() for node in self.inputs() if is_numbers(node) or t in seen]

    def trial_digest(self, target: str, node: str) -> str:
        """Digest of everything that a trial depends on."""
        paths = self.having([node])
        told = [[t.name, t.classes, t.values.tolist()] for t in self.target(target, paths)]
        excluded = {"targets", "inputs", *({"video"} if is_numbers(node) else {"permutations"})}
        return digest(
            {
                "nodes": {path: self.nodes[path][node] for path in paths},
                "target": told,
                "splits": split_files.planned(self.plan),
                "settings": self.settings.model_dump(mode="json", exclude=excluded),
            }
        )

    def digest(self) -> str:
        """Digest of everything that re-identification depends on."""
        return digest({"nodes": self.nodes, "settings": self.settings.model_dump(mode="json", include=ALIKE)})

    def page_digest(self) -> str:
        """Digest of everything that the population's page depends on."""
        return digest([self.digest(), *(self.trial_digest(*trial) for trial in self.trials())])

    def _labels(self) -> tuple[str, ...]:
        return () if self.dataset is None else self.dataset.settings.tiers[self.dataset.tier].labels

    def _known(self, name: str) -> bool:
        if name in self._labels():
            return True
        return any(v is not None for v in self._column(name, list(self.nodes)))

    @cached_property
    def _people(self) -> pd.DataFrame:
        """The participants as the tier tells them, by the laboratory's names."""
        if self.dataset is None:
            return pd.DataFrame()
        table = participants.generalised(self.dataset).table
        names = {e.subject: e.clip.subject for e in self.dataset.entries}
        return table.rename(index=names)

    def _column(self, name: str, paths: list[str]) -> list[str | None]:
        """A column's text of each clip, of the participants or else of the clip sheet; None where it says nothing."""
        if name in self._people:
            known = self._people[name].to_dict()
            return [_known_text(known.get(self.clips[p].subject)) for p in paths]
        return [_known_text(self._told[p].get(name)) for p in paths]

    @cached_property
    def _told(self) -> dict[str, dict[str, str]]:
        """Clip → the columns of the clip sheet that the population has."""
        if self.dataset is None:
            return {path: clip.extra for path, clip in self.clips.items()}
        return {e.clip.path: e.columns for e in self.dataset.entries}

    def _of_labels(self, name: str, paths: list[str]) -> dict[str, list[str | None]]:
        """Item → what a label table says of each clip: where several raters or rounds do, the middle score (the higher
        of two), or what most of them say."""
        assert self.dataset is not None
        table = labels.read(self.dataset, name)
        keys = [*labels.keys_of(table), labels.RATER, "round", "side"]
        items = list(evgs.ITEMS) if name == "evgs" else [str(c) for c in table if c not in keys]
        said: dict[str, dict[str, list[object]]] = {}
        whose = self._of_subject(paths)
        for _, row in table.iterrows():
            leg = str(row["side"]) if "side" in table else ""
            for path in whose.get(str(row[labels.INDEX]), ()):
                if labels.matches(row, self.clips[path]):
                    for item in items:
                        where = said.setdefault(f"{item}_{LEGS.get(leg, leg)}" if leg else item, {})
                        where.setdefault(path, []).append(row[item])
        return {item: [_middle(where.get(p, [])) for p in paths] for item, where in sorted(said.items())}

    def _of_subject(self, paths: list[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in paths:
            found.setdefault(self.clips[path].subject, []).append(path)
        return found


def settings_of(plan: Plan) -> TechnicalValidation:
    """The configuration's technical validation.

    Raises:
        GaitloomError: it has none.
    """
    if plan.config.technical_validation is None:
        raise GaitloomError("The configuration has no table 'technical_validation'; see docs/technical-validation.md.")
    return plan.config.technical_validation


def is_numbers(node: str) -> bool:
    """Whether a node is of numbers, from which trees and perceptron learn, and not of pictures."""
    return modality_of(node) == "gait"


def _path(entry: object) -> str:
    return entry.clip.path  # type: ignore[attr-defined]


def _known_text(value: object) -> str | None:
    text = "" if value is None else str(value)
    return None if text in ("", MISSING, "nan", evgs.NS) else text


def _middle(values: list[object]) -> str | None:
    """The middle of several sayings in their order, the later of two; numbers by value."""
    known = [t for v in values if (t := _known_text(v)) is not None]
    if not known:
        return None
    if all(_is_number(t) for t in known):
        return sorted(known, key=_number)[len(known) // 2]
    return max(sorted(set(known)), key=known.count)


def _is_number(text: str) -> bool:
    return np.isfinite(_number(text)) and not BAND.fullmatch(text)


def _number(text: str) -> float:
    """A number, or the middle of a band of `release.generalise` (`35-49` ends below 50; of `90+` and `<18`, the end
    that they have); NaN of any other text."""
    if band := BAND.fullmatch(text):
        low, high = float(band["low"]), float(band["high"])
        return (low + high + (1 if low.is_integer() and high.is_integer() else 0)) / 2
    try:
        return float(text.removeprefix("<").removesuffix("+"))
    except ValueError:
        return float("nan")


def _target(name: str, texts: list[str | None]) -> Target:
    """Bands, and numbers of which there are more than `FEW`, are numbers; all else are classes."""
    known = sorted({t for t in texts if t is not None})
    if all(np.isfinite(_number(t)) for t in known) and (len(known) > FEW or any(map(BAND.fullmatch, known))):
        return Target(name, np.array([np.nan if t is None else _number(t) for t in texts], float), ())
    number = {text: i for i, text in enumerate(known)}
    return Target(name, np.array([-1 if t is None else number[t] for t in texts], np.int64), tuple(known))
