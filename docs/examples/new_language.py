"""Write a catalog to translate: python docs/examples/new_language.py it."""

import json
import sys
from pathlib import Path

catalogs = Path("js/src/i18n/catalogs")
texts = {}
for name in ("en.json", "more/en.json"):
    texts |= json.loads((catalogs / name).read_text())
path = catalogs / f"{sys.argv[1]}.json"
path.write_text(json.dumps(texts, indent=2, ensure_ascii=False, sort_keys=True) + "\n")
print(f"Translate the texts in {path}.")
