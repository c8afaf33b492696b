"""docs/adding-a-backend.md, word for word: one new file, one node in the configuration, and it runs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
import zarr
from project import ROOT, Project
from walker import Walk

DOCUMENT = (ROOT / "docs" / "adding-a-backend.md").read_text()


def block(language: str) -> str:
    """The document's code block in a language."""
    found = re.search(rf"```{language}\n(.*?)```", DOCUMENT, re.S)
    assert found
    return found.group(1)


def test_the_documents_backend_runs(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for name in ("workflow", "profiles", "envs"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", checkout / "Snakefile")
    (checkout / "workflow/gaitloom/backends/silhouette/ellipse.py").write_text(block("python"))
    project = Project(tmp_path / "project")
    project.config["nodes"] |= yaml.safe_load(block("yaml"))["nodes"]
    project.write_config()
    Walk(frames=6, size=(320, 180)).write(project.data / "S_1.mp4")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(checkout / "Snakefile"), "--cores", "2"]
    done = subprocess.run(
        [*command, "--configfile", "config.yaml", "--quiet", "all"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    clip = project.store / "S/trial-1"
    node = zarr.open_group(clip / "silhouette_ellipse", mode="r")
    x0, y0, x1, y1 = zarr.open_group(clip / "track", mode="r")["box"][2]
    area = np.pi / 4 * 0.9**2 * (x1 - x0) * (y1 - y0)
    assert abs(node["mask"][2].sum() / area - 1) < 0.1
    assert node.attrs["recipe"]["backend"] == "ellipse"
    assert node.attrs["recipe"]["backend_options"] == {"fill": 0.9}
