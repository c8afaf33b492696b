"""ro-crate-metadata.json: RO-Crate 1.1 with the Workflow Run profiles 0.5 (w3id.org/ro/wfrun).

The workflow's run is one action. Each way in which nodes were made is another, with software, parameters, weights by
hash, and the archives that came of it; which clip's node was made how, from what and with which outcome stands in
data/provenance.tsv, since an action a node would make tens of thousands of them. Neither says when or where it ran.
"""

import json
import uuid
from typing import Any

from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from gaitloom import __version__
from gaitloom.config import modality_of
from gaitloom.release.contents import Contents
from gaitloom.release.metadata import licences
from gaitloom.release.metadata.provenance import TABLE, Making
from gaitloom.release.settings import Creator
from gaitloom.store import file_sha256

PROFILES = (
    ("https://w3id.org/ro/wfrun/process/0.5", "Process Run Crate", "0.5"),
    ("https://w3id.org/ro/wfrun/workflow/0.5", "Workflow Run Crate", "0.5"),
    ("https://w3id.org/workflowhub/workflow-ro-crate/1.0", "Workflow RO-Crate", "1.0"),
)
SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
COMPLETED = {"@id": "http://schema.org/CompletedActionStatus"}


def document(contents: Contents, makings: list[Making]) -> str:
    """The text of ro-crate-metadata.json."""
    settings, tier = contents.dataset.settings, contents.dataset.tier
    crate = ROCrate(gen_preview=False, version="1.1")
    root = crate.root_dataset
    crate.name, crate.description = f"{settings.title}, {tier} tier", settings.description
    crate.datePublished = settings.date.isoformat()
    crate.keywords = list(settings.keywords)
    root["version"] = settings.version
    root["identifier"] = licences.address(settings, tier)
    root["license"] = _licence(crate, contents)
    publisher = _add(crate, "#publisher", "Organization", name=settings.publisher)
    contact = _add(crate, "#contact", "ContactPoint", contactType="data protection", email=settings.contact)
    publisher["contactPoint"] = contact
    root["publisher"] = publisher
    people = [_person(crate, number, c) for number, c in enumerate(settings.creators, 1)]
    root["author"] = people
    root["conformsTo"] = [_add(crate, u, "CreativeWork", name=n, version=v) for u, n, v in PROFILES]
    workflow = _workflow(crate, contents)
    root["mainEntity"] = workflow
    files = _files(crate, contents)
    results = [files[f"data/{a.name}"] for a in contents.archives]
    run = _action(crate, contents, "workflow", f"{settings.title}: the workflow's run", workflow, people[0])
    run["result"] = results or [files[f"data/{TABLE}"]]
    actions = [run, *(_making(crate, contents, making, files, people[0]) for making in makings)]
    root["mentions"] = actions
    document = crate.metadata.generate()
    document["@graph"] = sorted(document["@graph"], key=_order)
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _order(entity: dict[str, Any]) -> tuple[bool, bool, str]:
    return entity["@id"] != "ro-crate-metadata.json", entity["@id"] != "./", entity["@id"]


def _add(crate: ROCrate, at: str, kind: Any, **properties: Any) -> Any:
    entity: Any = crate.dereference(at) or crate.add(ContextEntity(crate, at, properties={"@type": kind}))
    for key, value in properties.items():
        entity[key] = value
    return entity


def _person(crate: ROCrate, number: int, creator: Creator) -> Any:
    at = f"https://orcid.org/{creator.orcid}" if creator.orcid else f"#creator-{number}"
    person = _add(crate, at, "Person", name=creator.name)
    if creator.affiliation:
        person["affiliation"] = _add(crate, f"#affiliation-{number}", "Organization", name=creator.affiliation)
    return person


def _licence(crate: ROCrate, contents: Contents) -> Any:
    settings, tier = contents.dataset.settings, contents.dataset.tier
    page = licences.url(settings, tier)
    name = licences.title(settings, tier)
    if page is not None:
        return _add(crate, page, "CreativeWork", name=name, identifier=settings.licence(tier))
    return _add(crate, "#licence", "CreativeWork", name=name, description="The text stands in DATA_USE.md.")


def _workflow(crate: ROCrate, contents: Contents) -> Any:
    language = _add(
        crate,
        SNAKEMAKE,
        "ComputerLanguage",
        name="Snakemake",
        identifier="https://snakemake.readthedocs.io",
        url="https://snakemake.readthedocs.io",
    )
    kinds = ["File", "SoftwareSourceCode", "ComputationalWorkflow"]
    about = {"@type": kinds, "name": "GaitLoom", "version": __version__}
    workflow: Any = crate.add_file(dest_path="Snakefile", properties=about)
    workflow["programmingLanguage"] = language
    workflow["sha256"] = file_sha256(contents.folder / "Snakefile")
    return workflow


def _files(crate: ROCrate, contents: Contents) -> dict[str, Any]:
    """Every file that is there, with its hash, as an entity by path."""
    known = {f"data/{a.name}": a for a in contents.archives}
    found: dict[str, Any] = {}
    paths = (p for p in contents.folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    for path in sorted(paths):
        name = path.relative_to(contents.folder).as_posix()
        if name in ("Snakefile", "ro-crate-metadata.json"):
            continue
        archive = known.get(name)
        sha256 = archive.sha256 if archive else file_sha256(path)
        about = {"sha256": sha256, "contentSize": str(path.stat().st_size), "name": path.name}
        if archive:
            about |= {
                "encodingFormat": "application/zip",
                "description": f"{archive.what} in the layout {archive.exporter}: {archive.files} files",
            }
        found[name] = crate.add_file(dest_path=name, properties=about)
    return found


def _making(crate: ROCrate, contents: Contents, making: Making, files: dict[str, Any], agent: Any) -> Any:
    """The action of one way of making nodes."""
    what, modality = making.what, making.what["modality"]
    backend = _add(
        crate,
        f"#backend-{modality}-{what['backend']}-{what['backend_version']}",
        "SoftwareApplication",
        name=f"GaitLoom {__version__}, backend {modality}/{what['backend']}",
        softwareVersion=str(what["backend_version"]),
        license=what["licence"],
        softwareRequirements=[
            _add(crate, f"#package-{name}-{version}", "SoftwareApplication", name=name, softwareVersion=version)
            for name, version in sorted(what["software"].items())
        ],
    )
    title = f"{', '.join(sorted(making.nodes))} by {what['backend']}, of {making.clips} nodes"
    action = _action(crate, contents, making.id, title, backend, agent)
    parameters = {**what["options"], **what["backend_options"], "modality_version": what["modality_version"]}
    inputs = [
        _add(
            crate,
            f"#parameter-{making.id}-{name}",
            "PropertyValue",
            name=name,
            value=value if isinstance(value, (str, int, float)) else json.dumps(value, sort_keys=True),
        )
        for name, value in sorted(parameters.items())
    ]
    inputs += [
        _add(crate, f"#weights-{sha256[:16]}", "CreativeWork", name=label, identifier=f"sha256:{sha256}")
        for label, sha256 in sorted(what["weights"].items())
    ]
    action["object"] = inputs
    modalities = {modality_of(node) for node in making.nodes}
    holds = [files[f"data/{a.name}"] for a in contents.archives if a.exporter == "zarr" and a.what in modalities]
    action["result"] = [files[f"data/{TABLE}"], *holds]
    return action


def _action(crate: ROCrate, contents: Contents, what: str, name: str, instrument: Any, agent: Any) -> Any:
    settings = contents.dataset.settings
    seed = f"{settings.name}/{settings.version}/{contents.dataset.tier}/{what}"
    action = _add(crate, f"#{uuid.uuid5(uuid.NAMESPACE_URL, seed)}", "CreateAction", name=name)
    action["instrument"], action["agent"] = instrument, agent
    action["actionStatus"] = COMPLETED
    return action
