"""The image of a commit is made from that of an earlier one, by real repo2docker and podman.

The images of buildpacks are made from one of Docker Hub, which is not here. So the earlier image is
made by a small Dockerfile, with what `make_reusable` adds to those of repo2docker. What its key is,
and all that comes after, is real.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from binderprogress.backends.base import BuildResult, ResolvedSpec
from binderprogress.backends.repo2docker.builder import Repo2dockerBuilder
from binderprogress.backends.repo2docker.images import Images
from binderprogress.backends.repo2docker.isolated_buildpack import BuildContext, render
from binderprogress.backends.repo2docker.render_program import RenderTask
from binderprogress.backends.repo2docker.reuse import make_reusable
from binderprogress.core.specs import from_address

from ..support.asynchronous import asynchronous
from ..support.repositories import commit, git, repository
from .podman_support import BASE_IMAGE, Podman

pytestmark = pytest.mark.podman

PREFIX = "localhost/binderprogress-reuse-"
FILES = {
    "requirements.txt": "six\n",
    "kept.txt": "old\n",
    "gone.txt": "old\n",
    "gone/deep/file.txt": "old\n",
    "becomes-a-folder": "old\n",
    "-rf ünï/a\nb": "old\n",
}

DOCKERFILE = """\
FROM {base}
RUN useradd --create-home --uid 1000 jovyan && mkdir -p /usr/local/share
ENV REPO_DIR=/home/jovyan
RUN echo made-by-the-build > /home/jovyan/.installed && chown 1000:1000 /home/jovyan/.installed
COPY --chown=1000:1000 src/ ${{REPO_DIR}}/
LABEL binderprogress.built="yes"
LABEL repo2docker.ref="{commit}"
USER jovyan
WORKDIR /home/jovyan
"""


@pytest.fixture
def builder(
    podman: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Repo2dockerBuilder]:
    for name, value in podman.env.items():
        monkeypatch.setenv(name, value)
    builder = Repo2dockerBuilder(
        engine="podman",
        image_prefix=PREFIX,
        reuse_environment=True,
        local_folders=[str(tmp_path)],
        budget=0,
    )
    builder.images = Images("podman", tmp_path / "used")
    yield builder
    for name in podman.run("images", "--format", "{{.Repository}}:{{.Tag}}").split():
        if name.startswith(PREFIX):
            podman.run("rmi", "--force", name)


async def make_original(builder: Repo2dockerBuilder, podman: Podman, folder: Path) -> ResolvedSpec:
    """Make the image of a commit, as a full build leaves it."""
    resolved = await builder.resolve(from_address(folder.as_uri()))
    work = folder.with_name("original")
    checkout = work / "checkout"
    work.mkdir(mode=0o700)
    git(work, "clone", "--quiet", str(folder), str(checkout))
    arguments = {"NB_USER": builder.user_name, "NB_UID": str(builder.user_id)}
    # As repo2docker configures them.
    from repo2docker.app import Repo2Docker

    app = Repo2Docker()
    task = RenderTask(app.base_image, app.platform, app.appendix, {}, arguments, wants_key=True)
    plan = await builder.fetch_plan(resolved, None)
    *_, context = render(plan, task, source=checkout, checkout=checkout, folder=work / "rendered")
    assert isinstance(context, BuildContext)
    assert context.environment
    text = DOCKERFILE.format(base=BASE_IMAGE, commit=resolved.commit)
    context.dockerfile.write_text(text)
    digest = builder.image(resolved).rpartition(":")[0].rpartition("-")[2]
    make_reusable(context.path, context.environment, digest)
    podman.run("build", "--format=docker", f"--tag={builder.image(resolved)}", str(context.path))
    return resolved


async def built(builder: Repo2dockerBuilder, folder: Path) -> tuple[str, BuildResult]:
    """Build the newest commit, and return the log and the result."""
    resolved = await builder.resolve(from_address(folder.as_uri()))
    log, result = "", None
    try:
        async for item in builder.build(resolved):
            log += str(getattr(item, "raw", ""))
            result = item
    finally:
        print(log)
    assert isinstance(result, BuildResult)
    return log, result


def contents(podman: Podman, image: str) -> dict[str, str]:
    """Return the files of the repository in an image with their owners, and what they contain."""
    script = (
        "import json, os\n"
        "found = {}\n"
        "for parent, _, names in os.walk('/home/jovyan'):\n"
        "    for name in names:\n"
        "        path = os.path.join(parent, name)\n"
        "        if '.git/' not in path and not name.startswith('.bash') and name != '.profile':\n"
        "            text = f'{os.lstat(path).st_uid} {open(path).read()}'\n"
        "            found[os.path.relpath(path, '/home/jovyan')] = text\n"
        "print(json.dumps(found))\n"
    )
    found: dict[str, str] = json.loads(podman.run("run", "--rm", image, "python3", "-c", script))
    return found


@pytest.mark.long
@asynchronous(240)
async def test_only_the_files_of_the_repository_are_new(
    podman: Podman, builder: Repo2dockerBuilder, tmp_path: Path
) -> None:
    folder = repository(tmp_path / "penguins", FILES)
    old = await make_original(builder, podman, folder)
    for name in ("gone.txt", "gone/deep/file.txt", "becomes-a-folder", "-rf ünï/a\nb"):
        (folder / name).unlink()
    changed = {"kept.txt": "new\n", "becomes-a-folder/file": "new\n", "added.txt": "new\n"}
    new = commit(folder, changed)
    log, result = await built(builder, folder)
    assert "Reusing the environment of 20" in log
    assert "its environment files are the same" in log
    assert result.found
    assert result.image.endswith(f":{new}")
    assert contents(podman, result.image) == {
        "requirements.txt": "1000 six\n",
        ".installed": "1000 made-by-the-build\n",
        "kept.txt": "1000 new\n",
        "becomes-a-folder/file": "1000 new\n",
        "added.txt": "1000 new\n",
    }
    details = json.loads(podman.run("image", "inspect", result.image))[0]["Config"]
    assert details["Labels"]["repo2docker.ref"] == new
    assert details["Labels"]["binderprogress.reused"] == builder.image(old)
    assert float(details["Labels"]["binderprogress.committed"]) == float(
        git(folder, "log", "-1", "--format=%ct")
    )
    assert details["User"] == "jovyan"
    found = await builder.find(await builder.resolve(from_address(folder.as_uri())))
    assert found is not None
    assert found.committed is not None

    # The next one is made from the original, too: layers do not pile up.
    commit(folder, {"kept.txt": "newest\n"})
    log, result = await built(builder, folder)
    details = json.loads(podman.run("image", "inspect", result.image))[0]["Config"]
    assert details["Labels"]["binderprogress.reused"] == builder.image(old)
    assert "added.txt" in contents(podman, result.image)
