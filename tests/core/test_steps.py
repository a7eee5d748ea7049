from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.phases import Phase
from binderprogress.core.steps import Step, StepReader, numbered

# One line, read on its own: index and total.
NUMBERED = {
    "Step 1/12 : FROM docker.io/library/buildpack-deps:jammy\n": (1, 12),
    'Step 12/12 : CMD ["jupyter"]\n': (12, 12),
    "STEP 3/11: RUN python3 -m venv /srv/venv\n": (3, 11),
    "STEP 3/11: RUN a\r\n": (3, 11),
    "[1/2] STEP 4/9: COPY . .\n": (4, 9),
    "[2/2] STEP 1/5: FROM docker.io/library/python:3.12\n": (1, 5),
    "#8 [ 4/51] RUN apt-get -qq update\n": (4, 51),
    "#8 [12/51] RUN mkdir -p /home/jovyan\n": (12, 51),
    "#8 [stage-1 4/51] COPY --chown=1000:1000 src/ ${REPO_DIR}/\n": (4, 51),
    "#8 [stage-1  4/51] USER jovyan\n": (4, 51),
    "#8 [build 1/3] FROM docker.io/library/node:20@sha256:0123\n": (1, 3),
    "#31 [linux/arm64 stage-1 4/51] USER root\n": (4, 51),
}
NAMED = {
    "Picked Git content provider.\n": ("found", Phase.FETCHING),
    "Cloning into '/tmp/repo2dockercw7lhlmh'...\n": ("cloning", Phase.FETCHING),
    "Receiving objects:  42% (420/1000), 3.00 MiB | 1.20 MiB/s\r": ("receiving", None),
    "Resolving deltas: 100% (21/21), done.\n": ("receiving", None),
    "HEAD is now at ec7ac44 init\n": ("checked-out", Phase.FETCHING),
    "Submodule 'lib' (https://example.org/lib) registered for path 'lib'\n": ("submodules", None),
    "Reusing existing image (localhost/r2d-ok:main), not building.": ("reused", Phase.BUILDING),
    "Making an environment with Python 3.12\n": ("environment", None),
    "Installing Jupyter and requirements.txt\n": ("resolving-packages", None),
    "Resolved 97 packages in 1.20s\n": ("downloading-packages", None),
    "Prepared 12 packages in 300ms\n": ("installing-packages", None),
    "Running postBuild\n": ("postbuild", None),
    "COMMIT localhost/r2d-ok:main\n": ("saving", None),
    "Successfully tagged localhost/r2d-ok:main\n": ("saving", None),
    "The push refers to repository [registry.example.org/ok]\n": ("pushing", Phase.PUSHING),
    "Pushing image\n": ("pushing", Phase.PUSHING),
    "Successfully pushed registry.example.org/ok:main\n": ("pushed", Phase.PUSHING),
    "#12 exporting to image\n": ("saving", None),
    "#12 exporting layers 3.1s done\n": ("saving", None),
    "#12 pushing layers\n": ("pushing", Phase.PUSHING),
    "#12 pushing manifest for registry.example.org/ok:main@sha256:01\n": ("pushing", Phase.PUSHING),
}
DETECTED = {
    "Using PythonBuildPack builder\n": "Building with Python",
    "Using CondaBuildPack builder\n": "Building with Conda",
    "Using DockerBuildPack builder\r\n": "Building with Docker",
    "Using LegacyBinderDockerBuildPack builder\n": "Building with Docker",
    "Using JuliaProjectTomlBuildPack builder": "Building with Julia",
}
NOTHING = {
    "an ordinary line": "Collecting six\n",
    "an empty line": "\n",
    "no text": "",
    "an output of buildx": "#8 0.512 Collecting six\n",
    "the end of a step": "#8 DONE 1.2s\n",
    "a failed step": '#8 ERROR: process "/bin/sh -c false" did not complete: exit code: 1\n',
    "buildx's own": "#9 [internal] load build context\n",
    "buildx's own, with a total": "#9 [internal] load 1/3\n",
    "a cached step that never began": "#77 CACHED\n",
    "podman's note on a cached step that never began": "--> Using cache 97b754c6b2ab\n",
    "more than there are": "Step 9/3 : RUN false\n",
    "none of none": "STEP 0/0: RUN false\n",
    "the one before the first": "#8 [ 0/51] RUN false\n",
    "buildx, more than there are": "#8 [52/51] RUN false\n",
    "an enormous one": "Step 99999/99999 : RUN false\n",
    "in the middle of a line": "  Step 1/3 : RUN false\n",
    "the classic builder, cut short": "Step 1/3\n",
    "podman's, cut short": "STEP 1/3\n",
    "a warning in brackets": "[Warning] one or more build args were not consumed: [NB_UID]\n",
    "a comment that a shell shows": "# pushing the limits\n",
    "a heading": "#pushing exporting \n",
    "another user of the word": "Using the cached wheel of the builder\n",
}


def read(*lines: str) -> list[Step | None]:
    reader = StepReader()
    return [reader.read(line) for line in lines]


@pytest.mark.parametrize("line", NUMBERED)
def test_numbered(line: str) -> None:
    index, total = NUMBERED[line]
    assert read(line) == [Step("step", f"Step {index} of {total}", index, total)]


@pytest.mark.parametrize("line", NAMED)
def test_named(line: str) -> None:
    (step,) = read(line)
    assert step is not None
    assert (step.key, step.phase) == NAMED[line]
    assert (step.index, step.total, step.cached) == (0, 0, False)
    assert step.label[0].isupper()


@pytest.mark.parametrize("line", DETECTED)
def test_detected(line: str) -> None:
    assert read(line) == [Step("detected", DETECTED[line], phase=Phase.BUILDING)]


@pytest.mark.parametrize("line", NOTHING.values(), ids=NOTHING)
def test_no_step(line: str) -> None:
    assert read(line) == [None]


def test_the_classic_builder() -> None:
    assert read(
        "Step 1/3 : FROM busybox\n",
        " ---> 65ad0d468eb1\n",
        "Step 2/3 : RUN true\n",
        " ---> Using cache\n",
        " ---> 3f0c9d1a5e77\n",
        "Step 3/3 : RUN false\n",
        " ---> Running in 4bb2f1c2f5a9\n",
        "Removing intermediate container 4bb2f1c2f5a9\n",
        "Successfully built 0a1b2c3d4e5f\n",
        "Successfully tagged ok:latest\n",
    ) == [
        numbered(1, 3),
        None,
        numbered(2, 3),
        numbered(2, 3, cached=True),
        None,
        numbered(3, 3),
        None,
        None,
        None,
        Step("saving", "Saving the image"),
    ]


def test_podman_with_two_stages() -> None:
    assert read(
        "[1/2] STEP 1/2: FROM docker.io/library/golang AS build\n",
        "[1/2] STEP 2/2: RUN go build\n",
        "--> Using cache 485720466fe7b377d392ba80c56a6b0c23c9388f6eec9a83ac726a7f13c99df2\n",
        "--> 485720466fe\n",
        "[2/2] STEP 1/1: COPY --from=build /app /app\n",
        "[2/2] COMMIT localhost/ok:main\n",
        "COMMIT localhost/ok:main\n",
    ) == [
        numbered(1, 2),
        numbered(2, 2),
        numbered(2, 2, cached=True),
        None,
        numbered(1, 1),
        None,
        Step("saving", "Saving the image"),
    ]


def test_buildx_runs_steps_side_by_side() -> None:
    assert read(
        '#0 building with "default" instance using docker driver\n',
        "#1 [internal] load build definition from Dockerfile\n",
        "#1 transferring dockerfile: 1.98kB done\n",
        "#1 DONE 0.0s\n",
        "#4 [base 1/3] FROM docker.io/library/buildpack-deps:jammy@sha256:0a1b\n",
        "#4 CACHED\n",
        "#5 [stage-1 2/3] RUN apt-get -qq update\n",
        "#6 [base 2/3] RUN true\n",
        "#5 0.421 Hit:1 http://archive.ubuntu.com/ubuntu jammy InRelease\n",
        "#6 CACHED\n",
        "#5 DONE 4.2s\n",
        "#7 exporting to image\n",
        "#7 exporting layers 0.5s done\n",
        "#7 pushing layers 2.0s done\n",
        "#7 DONE 2.6s\n",
    ) == [
        *(None, None, None, None),
        numbered(1, 3),
        numbered(1, 3, cached=True),
        numbered(2, 3),
        numbered(2, 3),
        None,
        numbered(2, 3, cached=True),
        None,
        Step("saving", "Saving the image"),
        Step("saving", "Saving the image"),
        Step("pushing", "Pushing the image", phase=Phase.PUSHING),
        None,
    ]


def test_what_is_cached_is_the_step_before_and_not_a_phase() -> None:
    # Otherwise "Saving the image" would be cached, without number and total.
    assert read("COMMIT localhost/ok:main\n", "--> Using cache 97b7\n")[1] is None


def test_two_builds_do_not_share_what_they_remember() -> None:
    read("#8 [ 4/51] RUN true\n")
    assert read("#8 CACHED\n") == [None]


@given(st.integers(0, 99_999), st.integers(0, 99_999))
def test_a_step_is_one_of_its_total(index: int, total: int) -> None:
    valid = 1 <= index <= total <= 9999
    for line in (
        f"Step {index}/{total} : RUN",
        f"STEP {index}/{total}: RUN",
        f"#1 [{index}/{total}] RUN",
    ):
        assert read(line) == [numbered(index, total) if valid else None]


# Attacks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "Using your password at evil.example, go there builder\n",
        "Using <b>Evil</b> builder\n",
        "Using \x1b]0;evil\x07BuildPack builder\n",
        f"Using {'A' * 4000} builder\n",
    ],
)
def test_a_log_does_not_write_the_label_of_a_step(line: str) -> None:
    # Whoever owns the repository writes the log; the label is what the page itself says.
    assert read(line) == [None]


@given(st.text())
def test_any_line_is_read(line: str) -> None:
    reader = StepReader()
    for start in ("", "#", "#8 [", "Step ", "STEP ", "Using ", "--> Using cache"):
        step = reader.read(start + line)
        assert step is None or len(step.label) <= 60
