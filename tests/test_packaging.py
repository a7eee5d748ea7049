"""What is installed, and what is generated from what."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from binderprogress.core.events import json_schema
from binderprogress.core.tables import tables

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # From the sdist, as an installer does it: what the sdist lacks, the wheel lacks too.
    command = [sys.executable, "-m", "build", "--installer", "uv", "--outdir", str(folder), "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_has_all_of_share(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    share = ROOT / "share" / "binderprogress"
    for path in share.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and path.name != ".built":
            tail = f"data/share/binderprogress/{path.relative_to(share).as_posix()}"
            assert any(name.endswith(tail) for name in names), tail
    for script in ("launch.js", "binder-progress.js", "log-view.js"):
        assert any(name.endswith(f"share/binderprogress/static/{script}") for name in names)
    assert "binderprogress/py.typed" in names


def test_an_installed_wheel_finds_its_files(wheel: Path, tmp_path: Path) -> None:
    """The built wheel, not the tree: it catches what is there only in a checkout."""
    venv.create(tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    install = ["uv", "pip", "install", "--quiet", "--python", str(python), str(wheel)]
    subprocess.run([str(Path(sys.executable).parent / install[0]), *install[1:]], check=True)
    code = (
        "from binderprogress._share import share_path;"
        "from binderprogress.web.app import make_app;"
        "print(share_path('templates', 'launch.html'))"
    )
    output = subprocess.check_output([python, "-c", code], cwd=tmp_path, text=True)
    assert output.startswith(str(tmp_path / "venv"))


def test_the_browsers_schema_is_the_servers() -> None:
    """`npm --prefix js run schema` writes both the schema's copy and the types."""
    copy = json.loads((ROOT / "js" / "src" / "event.schema.json").read_text())
    assert copy == json.loads(json.dumps(json_schema()))


def test_the_browsers_tables_are_the_servers() -> None:
    """`docs/development.md` says how to write them anew."""
    copy = json.loads((ROOT / "js" / "src" / "tables.json").read_text())
    assert copy == json.loads(json.dumps(tables()))


def test_lock_files_name_no_registry() -> None:
    lock = json.loads((ROOT / "js" / "package-lock.json").read_text())
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]


def test_the_core_imports_nothing_heavy() -> None:
    code = "import sys, binderprogress.core.normalize; print('\\n'.join(sys.modules))"
    modules = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert not modules & {"asyncio", "tornado", "aiohttp", "traitlets"}


def test_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert re.search(r"^make demo\b", readme, re.MULTILINE)
    assert re.search(r"^make test\b", readme, re.MULTILINE)
