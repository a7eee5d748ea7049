"""Write catalogs to translate: python docs/examples/new_language.py it."""

import json
import sys
from pathlib import Path

catalogs = Path("js/src/i18n/catalogs")
# One file for the element, and one for the pages of the server.
for folder, names in [("", ["en.json", "more/en.json"]), ("pages", ["pages/en.json"])]:
    texts = {}
    for name in names:
        texts |= json.loads((catalogs / name).read_text())
    path = catalogs / folder / f"{sys.argv[1]}.json"
    path.write_text(json.dumps(texts, indent=2, ensure_ascii=False, sort_keys=True) + "\n")
    print(f"Translate the texts in {path}.")
