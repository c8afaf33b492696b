"""For tests only: roc-validator on a folder, without a network.

    python roc.py FOLDER CACHE

prints, for each profile, a JSON line of the requirements that are not met. The only document that the checks need
from outside is RO-Crate's JSON-LD context; it is served from the rocrate package, whose copy is of RO-Crate 1.3, with
the names in which 1.1 differs for a workflow put back.
"""

import email.message
import io
import json
import sys
import urllib.request
import urllib.response
from pathlib import Path
from typing import Any

import requests
import rocrate
from urllib3 import HTTPResponse

PROFILES = ("ro-crate-1.1", "process-run-crate-0.5", "workflow-ro-crate-1.0", "workflow-run-crate-0.5")
URL = "ro/crate/1.1/context"
CONTEXT = (Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld").read_bytes()
CONTEXT = CONTEXT.replace(b"https://bioschemas.org/terms/", b"https://bioschemas.org/")


class Here(urllib.request.BaseHandler):
    """What urllib is given in place of the network."""

    handler_order = 100

    def http_open(self, request: urllib.request.Request) -> Any:
        headers = email.message.Message()
        headers["Content-Type"] = "application/ld+json"
        there = URL in request.full_url
        body = io.BytesIO(CONTEXT if there else b"")
        response: Any = urllib.response.addinfourl(body, headers, request.full_url, 200 if there else 504)
        response.msg = ""
        return response

    https_open = http_open


def send(self: Any, request: Any, **_: Any) -> requests.Response:
    """What requests is given in place of the network."""
    there = URL in request.url
    body = io.BytesIO(CONTEXT if there else b"")
    headers = {"Content-Type": "application/ld+json"}
    raw = HTTPResponse(body, headers, 200 if there else 504, preload_content=False, request_url=request.url)
    return self.build_response(request, raw)


if __name__ == "__main__":
    urllib.request.install_opener(urllib.request.build_opener(Here))
    requests.adapters.HTTPAdapter.send = send  # type: ignore[method-assign]
    from rocrate_validator import services
    from rocrate_validator.models import Severity

    for profile in PROFILES:
        settings = services.ValidationSettings(
            rocrate_uri=sys.argv[1],
            profile_identifier=profile,
            requirement_severity=Severity.REQUIRED,
            cache_path=sys.argv[2],
        )
        result = services.validate(settings)
        print(json.dumps([profile, sorted(f"{i.check.identifier}: {i.message}" for i in result.get_issues())]))
