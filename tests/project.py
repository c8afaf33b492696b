"""A project folder as a user has it, driven from outside: files in, `snakemake` and `gaitloom` run, files out."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]

# The quickest configuration that still has a chain: video -> track -> keypoints.
NODES: dict[str, Any] = {"track": {"backend": "blazepose"}, "keypoints": {"backend": "blazepose"}}


class Project:
    """A folder with `config.yaml`, `data/` and, after a run, `results/`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.data = folder / "data"
        self.results = folder / "results"
        self.store = self.results / "store.zarr"
        self.data.mkdir(parents=True, exist_ok=True)
        self.config: dict[str, Any] = {
            "results": "results",
            "clips": {"folders": ["data"], "pattern": "{subject}_{trial}"},
            "nodes": json.loads(json.dumps(NODES)),
        }

    def sheet(self, text: str) -> Path:
        """Write the hand-written sheet (columns separated by `|` for legibility) and have the configuration name it."""
        path = self.folder / "clips.tsv"
        path.write_text("\n".join("\t".join(c.strip() for c in r.split("|")) for r in text.strip().splitlines()) + "\n")
        self.config["clips"]["sheet"] = "clips.tsv"
        return path

    def add(self, source: Path, name: str) -> Path:
        """Copy a video into the input folder."""
        target = self.data / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        return target

    def write_config(self) -> Path:
        """Write `config.yaml` as the configuration stands."""
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(self.config, sort_keys=False))
        return path

    def command(self, *args: str) -> list[str]:
        """The command line of a run."""
        self.write_config()
        main = [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(ROOT / "Snakefile"),
            "--configfile",
            "config.yaml",
        ]
        return [*main, "--cores", "2", *args]

    def snakemake(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run snakemake in the project's folder."""
        return self._run(self.command(*args))

    def gaitloom(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run `gaitloom COMMAND --config config.yaml ...` in the project's folder."""
        self.write_config()
        command, *rest = args
        return self._run([sys.executable, "-m", "gaitloom", command, "--config", "config.yaml", *rest])

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "COLUMNS": "250", "NO_COLOR": "1"}
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, env=environment)

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run the workflow to its end; it must succeed."""
        done = self.snakemake("--quiet", "rules")
        assert done.returncode == 0, done.stderr[-3000:]
        return done

    def plan(self, target: str = "all") -> Counter[str]:
        """What a run for a target would do now: how often each rule, without the target's own."""
        done = self.snakemake("--dry-run", "--quiet", "rules", *(["--", target] if target != "all" else []))
        assert done.returncode == 0, done.stderr[-3000:]
        table = re.search(r"Job stats:\n(.*?)\ntotal", done.stdout + done.stderr, re.S)
        rows = re.findall(r"^(\w+)\s+(\d+)$", table.group(1), re.M) if table else []
        return Counter({rule: int(count) for rule, count in rows if rule != target})

    def ledger(self) -> dict[tuple[str, str], tuple[str, str]]:
        """(clip, node) -> (state, reason), from results/ledger.tsv."""
        lines = (self.results / "ledger.tsv").read_text().splitlines()[1:]
        return {(c, n): (s, r) for c, n, s, r in (line.split("\t") for line in lines)}

    def bytes(self) -> dict[str, bytes]:
        """Every file of the store by its path, without the stamps that Snakemake leaves."""
        return {
            p.relative_to(self.store).as_posix(): p.read_bytes()
            for p in sorted(self.store.rglob("*"))
            if p.is_file() and p.name != ".snakemake_timestamp"
        }
