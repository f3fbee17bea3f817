"""Writes docs/openapi from the descriptions in the code.

python tests/write_openapi.py
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from connector.dsp.openapi import dataspace  # noqa: E402 - the project is found first
from coordinator.openapi import coordinator  # noqa: E402 - as above

for name, description in (("dataspace", dataspace()), ("coordinator", coordinator())):
    page = ROOT / "docs" / "openapi" / f"{name}.json"
    page.parent.mkdir(exist_ok=True)
    page.write_text(json.dumps(description, indent=1, ensure_ascii=False) + "\n")
