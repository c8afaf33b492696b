"""For tests only: runs the lines of a card in the release's folder, and says what they found.

python opened.py CODE.json
"""

import json
import sys
from pathlib import Path

found = {}
for code in json.loads(Path(sys.argv[1]).read_text()):
    names = {}
    exec(code, names)
    if "zarr" in names:
        name = next(iter(names["clip"].children))
        found["zarr"] = [len(names["clips"]["data"]), names["clip"][name].sizes["time"]]
    elif "videos" in names:
        found["videos"] = names["videos"].num_rows
    elif "people" in names:
        found["people"] = [len(names["people"]), sorted(names["people"].columns)]
    elif "coco" in names:
        found["coco"] = len(names["coco"].anns)
    elif "clips" in names:
        found["tables"] = names["clips"].num_rows
    else:
        found[next(n for n in ("parquet", "pickle", "alphapose") if n in code)] = len(names["frames"])
found["modules"] = [m for m in sys.modules if m.startswith("gaitloom")]
print(json.dumps(found))
