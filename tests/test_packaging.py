"""What is installed, and what is generated from what."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

from binderprogress._version import __version__
from binderprogress.core.browser_tables import tables
from binderprogress.core.events import json_schema
from binderprogress.core.specs import from_address
from binderprogress.web.static_names import hashed_name

from .support.processes import BIN, environment, program
from .support.repositories import repository
from .support.standalone import running

ROOT = Path(__file__).parents[1]
JS = ROOT / "js"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel."""
    folder = tmp_path_factory.mktemp("built")
    # From the sdist, as an installer does it: what the sdist lacks, the wheel lacks too.
    command = [sys.executable, "-m", "build", "--installer", "uv", "--outdir", str(folder), "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.mark.long
def test_the_sdist_has_the_browsers_sources_and_nothing_that_is_made_of_them(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"js/src/element/define.ts", "js/package-lock.json", "js/public/badge.svg"} <= names
    made = ("js/node_modules", "js/dist")
    assert not [name for name in names if name.startswith(made) or name.endswith(".installed")]


def test_the_wheel_has_all_of_share(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    share = ROOT / "share" / "binderprogress"
    for path in share.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and path.name != ".built":
            tail = f"data/share/binderprogress/{path.relative_to(share).as_posix()}"
            assert any(name.endswith(tail) for name in names), tail
    for script in (
        "manifest.json",
        "binder-progress.js",
        "binder-progress.classic.js",
        *(hashed_name(f"{name}.js") for name in ("launch", "index", "log-view")),
        *(hashed_name("core.js") + suffix for suffix in (".br", ".gz")),
    ):
        assert any(name.endswith(f"share/binderprogress/static/{script}") for name in names)
    assert "binderprogress/py.typed" in names
    config = "data/etc/jupyter/jupyter_server_config.d/binderprogress.json"
    assert any(name.endswith(config) for name in names)


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


@pytest.mark.long
def test_a_jupyter_server_finds_the_installed_extension(wheel: Path, tmp_path: Path) -> None:
    """Nothing has to be enabled: the wheel brings the file that does it."""
    venv.create(tmp_path / "venv")
    programs = tmp_path / "venv" / "bin"
    command = ["uv", "pip", "install", "--quiet", "--python", str(programs / "python")]
    command[0] = str(Path(sys.executable).parent / command[0])
    subprocess.run([*command, f"binderprogress[server] @ {wheel.as_uri()}"], check=True)
    listed = subprocess.run(
        [programs / "jupyter", "server", "extension", "list"],
        cwd=tmp_path,
        env={"PATH": str(programs), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    said = re.sub(r"\x1b\[\d*m", "", listed.stdout + listed.stderr)
    assert re.search(r"binderprogress\.deploy\.jupyter_server +enabled", said), said
    assert re.search(r"binderprogress\.deploy\.jupyter_server .*OK", said), said


@pytest.fixture
def path_without_node(tmp_path: Path) -> str:
    """A PATH with all programs of this machine but those of Node.js."""
    folder = tmp_path / "programs"
    folder.mkdir()
    node = {"node", "nodejs", "npm", "npx", "configurable-http-proxy"}
    for other in os.get_exec_path():
        for program_path in Path(other).glob("*"):
            link = folder / program_path.name
            if program_path.name not in node and not link.is_symlink():
                link.symlink_to(program_path)
    return str(folder)


@pytest.mark.long
@pytest.mark.hub
@pytest.mark.timeout(600)
def test_the_demo_of_an_installed_wheel_needs_no_node(
    wheel: Path, path_without_node: str, cache: Path, tmp_path: Path
) -> None:
    """Its example becomes ready, and its kernel runs a notebook through the proxy."""
    venv.create(tmp_path / "venv")
    programs = tmp_path / "venv" / "bin"
    command = [str(BIN / "uv"), "pip", "install", "--quiet", "--python", str(programs / "python")]
    subprocess.run([*command, f"binderprogress[demo,proxy] @ {wheel.as_uri()}"], check=True)
    env = {**environment(cache, jupyterlab=True), "PATH": path_without_node}
    assert shutil.which("node", path=env["PATH"]) is None
    log = tmp_path / "log"
    binderprogress = str(programs / "binderprogress")
    with program(binderprogress, "demo", "--port", "0", "--json", env=env, log=log) as running:
        said = json.loads(running.line(timeout=120))
        (spec,) = [one["spec"] for one in said["examples"] if one["slug"] == "notebook"]
        checked = subprocess.run(
            [binderprogress, "check", spec, "--server", said["url"], "--all-notebooks"],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=400,
        )
        commands = [" ".join(process.cmdline()) for process in running.family()]
    assert checked.returncode == 0, checked.stdout + checked.stderr + log.read_text()
    assert any("binderprogress.deploy.python_proxy" in command for command in commands)


def test_the_browsers_schema_is_the_servers() -> None:
    """`npm --prefix js run schema` writes both the schema's copy and the types."""
    copy = json.loads((JS / "src" / "wire" / "event.schema.json").read_text())
    assert copy == json.loads(json.dumps(json_schema()))


def test_the_browsers_tables_are_the_servers() -> None:
    """`docs/development.md` says how to write them anew."""
    copy = json.loads((ROOT / "js" / "src" / "binderhub" / "tables.json").read_text())
    assert copy == json.loads(json.dumps(tables()))


def test_lock_files_name_no_registry() -> None:
    lock = json.loads((JS / "package-lock.json").read_text())
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]


def test_the_core_imports_nothing_heavy() -> None:
    code = "import sys, binderprogress.core.log.reader; print('\\n'.join(sys.modules))"
    modules = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert not modules & {"asyncio", "tornado", "aiohttp", "traitlets"}


def test_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert re.search(r"^make demo\b", readme, re.MULTILINE)
    assert re.search(r"^make test\b", readme, re.MULTILINE)


# -- the npm package


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def npm_version(version: str) -> str:
    """Write a version of Python's as npm's: 0.1.0.dev0 is 0.1.0-dev.0."""
    return re.sub(r"\.?(dev|a|b|rc)(\d+)$", r"-\1.\2", version)


@pytest.mark.parametrize(
    ("version", "expected"),
    [("1.2.3", "1.2.3"), ("0.1.0.dev0", "0.1.0-dev.0"), ("2.0.0rc1", "2.0.0-rc.1")],
)
def test_versions_of_python_have_one_of_npm(version: str, expected: str) -> None:
    assert npm_version(version) == expected


def test_both_packages_have_one_version_and_one_licence() -> None:
    package, lock = (
        json.loads((JS / name).read_text()) for name in ("package.json", "package-lock.json")
    )
    said = {package["version"], lock["version"], lock["packages"][""]["version"]}
    assert said == {npm_version(__version__)}
    # npm packs only what lies in the package's own folder.
    assert (JS / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `npm pack` says of the package that it made, with its `path`."""
    folder = tmp_path_factory.mktemp("packed")
    out = run("npm", "pack", "--json", "--pack-destination", str(folder), cwd=JS)
    # What `prepack` prints comes before it.
    (told,) = json.loads(out[out.index("[\n") :])
    return {**told, "path": folder / told["filename"]}


@pytest.fixture(scope="module")
def installed(packed: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has the package and its dependencies, and nothing else."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "package.json").write_text('{"type": "module", "private": true}')
    quiet = ["--prefer-offline", "--no-audit", "--no-fund"]
    run("npm", "install", *quiet, str(packed["path"]), cwd=folder)
    return folder


@pytest.mark.long
def test_the_npm_package_has_what_is_imported_and_nothing_else(packed: dict[str, Any]) -> None:
    names = {file["path"] for file in packed["files"]}
    beside = {name for name in names if not name.startswith("dist/")}
    assert beside == {"LICENSE", "README.md", "package.json", "src/wire/event.schema.json"}
    assert {name.rpartition(".")[2] for name in names - beside} == {"js", "ts"}
    assert not [name for name in names if ".test." in name]
    for entry in json.loads((JS / "package.json").read_text())["exports"].values():
        for path in entry.values() if isinstance(entry, dict) else [entry]:
            assert path.removeprefix("./") in names


CONSUMER = """\
import { BinderProgressElement, type LaunchEvent, ProgressModel } from "binderprogress";
import "binderprogress/define";
import { type Started, startLaunch, watch } from "binderprogress/client";

const element: BinderProgressElement = document.createElement("binder-progress");
element.spec = "gh/a/b/HEAD";
element.addEventListener("progress", ({ detail }) => {
  const percent: number | undefined = detail.percent;
  console.log(percent, detail.label.length);
});
element.addEventListener("failed", ({ detail: { reason, evidence } }) => {
  console.log(reason.length, evidence.map((line) => line.length));
});
// @ts-expect-error: it has no such detail
element.addEventListener("ready", ({ detail }) => console.log(detail.nonsense));
// @ts-expect-error: there is no such entry
import type {} from "binderprogress/dist/parts/element.js";

export async function follow(spec: string): Promise<ProgressModel> {
  const started: Started = await startLaunch("https://hub.example.org/", { spec });
  const model = new ProgressModel();
  const stop: () => void = watch(started.events_url, {
    event: (event: LaunchEvent) => model.accept(event),
  });
  stop();
  return model;
}
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("module", "resolution"), [("esnext", "bundler"), ("nodenext", "nodenext")]
)
def test_typescript_knows_the_npm_packages_types(
    installed: Path, module: str, resolution: str
) -> None:
    (installed / "consumer.ts").write_text(CONSUMER)
    # All declarations are checked, too: no skipLibCheck.
    options = ["--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", "--noEmit"]
    where = ["--target", "es2022", "--module", module, "--moduleResolution", resolution]
    tsc = str(JS / "node_modules" / ".bin" / "tsc")
    run(tsc, *options, *where, "consumer.ts", cwd=installed)


IMPORTS = """\
for (const name of ["window", "document", "customElements", "HTMLElement", "matchMedia"]) {
  Object.defineProperty(globalThis, name, {
    configurable: true,
    get() { throw new Error(`${name} was touched`); },
  });
}
const client = await import("binderprogress/client");
for (const name of ["window", "document", "customElements", "HTMLElement", "matchMedia"]) {
  delete globalThis[name];
}
const registered = [];
globalThis.HTMLElement = class {};
globalThis.customElements = {
  get: (name) => registered.find((one) => one === name),
  define: (name) => void registered.push(name),
};
const whole = await import("binderprogress");
const before = [...registered];
await import("binderprogress/define");
console.log(JSON.stringify({
  client: Object.keys(client),
  more: Object.keys(whole).filter((name) => !(name in client)),
  before,
  after: registered,
}));
"""


@pytest.mark.long
def test_what_is_imported_registers_and_touches_no_more_than_it_says(installed: Path) -> None:
    (installed / "imports.js").write_text(IMPORTS)
    said = json.loads(run("node", "imports.js", cwd=installed))
    assert {"startLaunch", "getState", "cancel", "watch", "ProgressModel"} <= set(said["client"])
    assert said["more"] == ["BinderProgressElement"]
    assert said["before"] == []
    assert said["after"] == ["binder-progress"]


CLIENT = """\
import { getState, startLaunch, watch } from "binderprogress/client";

const [hub, spec] = process.argv.slice(2);
const { id, state_url, events_url } = await startLaunch(hub, { spec });
const phases = await new Promise((resolve) => {
  const seen = [];
  const event = ({ phase }) => {
    seen.push(phase);
    if (phase === "failed") resolve(seen);
  };
  watch(events_url, { event });
});
const state = await getState(state_url);
const refused = await startLaunch(hub, { spec: "nonsense" }).catch((error) => error);
const same = state.id === id;
console.log(JSON.stringify({ same, phases, name: refused.name, status: refused.status }));
"""


@pytest.mark.long
def test_the_client_launches_from_node(installed: Path, tmp_path: Path) -> None:
    (installed / "client.js").write_text(CLIENT)
    spec = from_address(repository(tmp_path / "repository").as_uri()).at("no-such-branch")
    with running(tmp_path, hub=False) as server:
        said = json.loads(run("node", "client.js", server.url, str(spec), cwd=installed))
    assert said == {
        "same": True,
        "phases": ["waiting", "failed"],
        "name": "ApiError",
        "status": 400,
    }
