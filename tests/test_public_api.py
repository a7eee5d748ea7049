"""The names that people may use; whoever removes or renames one breaks their programs."""

from __future__ import annotations

import subprocess
import sys

import binderprogress

NAMES = """
    Access AsyncClient Attempt Backend BackendProfile BadRequestError
    BinderProgressError BuildResult Builder Caller ChannelConflictError
    ChannelNotFoundError ChannelStore Client ConfigError Encoded Event HistoryStore
    JupyterServer LaunchFailedError LaunchHandle LaunchManager LaunchRequest
    LaunchSnapshot Launcher MemoryChannelStore NoHistory NotFoundError PairedBackend
    PastLaunch Phase PodBuild PodBuilder PodProgram PodVolume Record RefusedError
    ResolvedSpec RunningServer ServerStoppingError ServerUnreachableError Spec SpecError
    StorageError TooManyRequestsError WaitForTurn __version__
"""


def test_these_names_are_public() -> None:
    assert sorted(binderprogress.__all__) == sorted(NAMES.split())
    assert dir(binderprogress) == sorted(NAMES.split())


def test_each_of_them_is_there_and_documented() -> None:
    for name in binderprogress.__all__:
        assert getattr(binderprogress, name).__doc__, name


def test_a_name_that_is_none_is_said_as_usual() -> None:
    assert not hasattr(binderprogress, "Spawner")


def test_importing_the_package_imports_nothing_else() -> None:
    code = (
        "import binderprogress, sys;"
        "print(*(name for name in sys.modules if name.split('.')[0] == 'binderprogress'))"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert set(output.split()) == {"binderprogress", "binderprogress._version"}
