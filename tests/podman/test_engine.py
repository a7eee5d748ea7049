"""The real repo2docker builds with the real podman."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ..support.long import usually
from .podman_support import Build, Podman, Repository

pytestmark = pytest.mark.podman


def messages(records: list[dict[str, object]], *, phase: str | None = None) -> list[str]:
    return [str(r["message"]) for r in records if phase is None or r.get("phase") == phase]


def test_builds_an_image(podman: Podman, tmp_path: Path) -> None:
    # A last step of its own: the others may be in podman's cache, and then print nothing.
    show = "id -u && cat README.md && python3 -c 'import greeting; print(greeting.TEXT)'"
    repository = Repository(tmp_path / "repository", last=show)
    name = "binderprogress-builds:1"
    code, records = Build(podman, repository, name).finish()
    assert code == 0, records
    building = messages(records, phase="building")
    steps = [match for line in building if (match := re.match(r"STEP (\d+)/(\d+): ", line))]
    # The Dockerfile's, and one for each label that repo2docker adds.
    assert len(steps) >= 12
    numbers = [(int(step[1]), int(step[2])) for step in steps]
    assert numbers == [(index + 1, len(steps)) for index in range(len(steps))]
    printed = ["1000\n", "# Hello from the repository\n", "Hello from a wheel\n"]
    last = next(index for index, line in enumerate(building) if line.startswith("STEP 12/"))
    assert [line for line in building[last:] if line in printed] == printed
    assert podman.exists("image", name)
    label = '{{index .Config.Labels "repo2docker.ref"}}'
    assert podman.run("image", "inspect", "--format", label, name).strip() == repository.commit
    assert podman.run("run", "--rm", name, "id", "-u").strip() == "1000"


def test_an_image_that_is_there_is_reused(
    podman: Podman, repository: Repository, image: str
) -> None:
    code, records = Build(podman, repository, image).finish()
    assert code == 0
    assert messages(records)[-1] == f"Reusing existing image ({image}), not building."
    assert not messages(records, phase="building")


def test_a_failing_step_fails_the_build(podman: Podman, failing_repository: Repository) -> None:
    name = "binderprogress-fails:1"
    code, records = Build(podman, failing_repository, name).finish()
    assert code == 1
    assert any("No module named 'no_such_module'" in line for line in messages(records))
    assert any("building at STEP" in line for line in messages(records))
    (failed,) = messages(records, phase="failed")
    assert re.fullmatch(r"Error during build: podman build exited with code \d+\.", failed)
    assert not podman.exists("image", name)


# After SIGKILL a step in a container goes on (see the module's documentation), so that is not here.
KILLED = [("oci", signal.SIGTERM), ("chroot", signal.SIGTERM), ("chroot", signal.SIGKILL)]


@pytest.mark.parametrize(("isolation", "number"), usually(KILLED, KILLED[-1]))
def test_a_killed_build_leaves_no_process(
    podman: Podman, tmp_path: Path, isolation: str, number: signal.Signals
) -> None:
    repository = Repository(tmp_path / "slow", last="echo now asleep && sleep 600")
    before = podman.processes()
    name = f"binderprogress-killed:{isolation}-{int(number)}"
    build = Build(podman, repository, name, BUILDAH_ISOLATION=isolation)
    assert any(record["message"] == "now asleep\n" for record in build.records())
    names = {p.name() for p in psutil.Process(build.process.pid).children(recursive=True)}
    assert "podman" in names
    assert build.kill(number) == []
    assert podman.processes() == before
    assert not podman.exists("image", name)


@pytest.mark.long
def test_a_stopped_build_removes_its_checkout(podman: Podman, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "slow", last="echo now asleep && sleep 600")
    folder = Path(podman.env["TMPDIR"])
    before = set(folder.glob("repo2docker*"))
    build = Build(podman, repository, "binderprogress-stopped:1")
    assert any(record["message"] == "now asleep\n" for record in build.records())
    assert set(folder.glob("repo2docker*")) > before
    assert build.kill(signal.SIGTERM) == []
    assert set(folder.glob("repo2docker*")) == before


def test_a_missing_podman_is_told(podman: Podman, repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "git").symlink_to(str(shutil.which("git")))
    code, records = Build(podman, repository, "binderprogress-none:1", PATH=str(tmp_path)).finish()
    assert code == 1
    assert any("podman is not installed" in line for line in messages(records))


def test_a_broken_podman_is_told(podman: Podman, repository: Repository, tmp_path: Path) -> None:
    broken = tmp_path / "storage.conf"
    folders = f'graphroot = "{tmp_path}/images"\nrunroot = "{tmp_path}/run"\n'
    broken.write_text(f'[storage]\ndriver = "no-such-driver"\n{folders}')
    build = Build(podman, repository, "binderprogress-none:1", CONTAINERS_STORAGE_CONF=str(broken))
    code, records = build.finish()
    assert code == 1
    assert any("podman does not work" in line for line in messages(records, phase="failed"))


@pytest.mark.long
def test_a_generated_dockerfile_is_built(podman: Podman, tmp_path: Path) -> None:
    # Buildpacks hand a tar file over; the real ones need Docker Hub, so this calls the engine.
    script = """
import io, sys, tarfile
from repo2docker.app import Repo2Docker
from binderprogress.deploy.podman_engine import PodmanEngine
tar = io.BytesIO()
with tarfile.open(fileobj=tar, mode="w") as writer:
    for name, text in {"Dockerfile": sys.argv[1], "src/hello.txt": "from the tar file"}.items():
        member = tarfile.TarInfo(name)
        member.size = len(text)
        writer.addfile(member, io.BytesIO(text.encode()))
    link = tarfile.TarInfo("src/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
    writer.addfile(link)
tar.seek(0)
engine = PodmanEngine(parent=Repo2Docker())
sys.stdout.writelines(engine.build(fileobj=tar, tag="binderprogress-tar:1", labels={"a": "b c"}))
image = engine.inspect_image("binderprogress-tar:1")
print(image.tags, image.config["WorkingDir"], image.config["Labels"]["a"])
print(engine.inspect_image("binderprogress-no-such:1"))
"""
    dockerfile = (
        "FROM localhost/binderprogress-test-base:1\nCOPY src /src\nRUN cat /src/hello.txt\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, dockerfile],
        env=podman.env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "from the tar file" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["['localhost/binderprogress-tar:1']  b c", "None"]
