"""Gait nodes whose means are known, in place of those that the sample's short walks give."""

from gaitloom.clips import NodeKey
from gaitloom.gait.summary import PARAMETERS, SIDES
from gaitloom.modalities import gait
from gaitloom.plan import Plan
from gaitloom.release.exporters import zarr
from gaitloom.store import Store

Known = dict[str, tuple[float, float, int]]  # parameter → mean, standard deviation, number of steps


def plant(plan: Plan, path: str, node: str, known: Known, scale: str = "walkway", reason: str = "not seen") -> None:
    """Put a clip's gait node into the store anew: both sides have what is `known`, all else `reason`."""
    store, key = Store(plan.config.results), NodeKey.parse(f"{path}/{node}")
    old = store.open(key)
    arrays = {name: old.load(name) for name in gait.ARRAYS}
    arrays["summary_mean"][:], arrays["summary_sd"][:], arrays["summary_n"][:] = float("nan"), float("nan"), 0
    for name, (mean, sd, n) in known.items():
        at = list(SIDES).index("both"), list(PARAMETERS).index(name)
        arrays["summary_mean"][at], arrays["summary_sd"][at], arrays["summary_n"][at] = mean, sd, n
    kept = {k: old.attributes[k] for k in (*zarr.COMMON, *zarr.ATTRIBUTES["gait"]) if k in old.attributes}
    kept |= {"scale": scale, "reasons": {p: reason for p in PARAMETERS if p not in known}}
    store.drop(key)
    staged = store.stage(key)
    for name, dims in gait.ARRAYS.items():
        staged.put(name, arrays[name], dims)
    staged.publish(plan.recipes(plan.clip(path))[node], kept)
