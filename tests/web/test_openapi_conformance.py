"""The running server conforms to its OpenAPI document, as checked by schemathesis."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest

from binderprogress.core.specs import Spec

from ..support.long import usually
from .clients import Api

# A string may be a spec or not; that is not for a schema to say. What has no WebSocket is told so.
_CONFIG = """\
[parameters]
launch_id = "{launch_id}"

[[operations]]
include-operation-id = "startLaunch"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "429"]

[[operations]]
include-operation-id = "startBuild"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "429"]

[[operations]]
include-operation-id = "getImage"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404", "429"]

[[operations]]
include-operation-id = "watchLaunch"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409"]

[[operations]]
include-operation-id = "watchLaunchSocket"
checks.positive_data_acceptance.expected-statuses = ["400", "404", "409", "426"]

[[operations]]
include-path-regex = "^/build/"
headers = {{ Accept = "text/event-stream" }}
"""


async def schemathesis(url: str, config: Path, folder: Path, examples: int) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("schemathesis")), "--no-color"),
        *("--config-file", str(config), "run", f"{url}/api/openapi.json"),
        # The only DELETE cancels a launch, which still exists afterwards.
        *("--checks", "all", "--exclude-checks", "use_after_free"),
        *("--seed", "1", "--max-examples", str(examples)),
        *("--request-timeout", "20", "--continue-on-failure", "--generation-database", "none"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 500)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode()


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("examples", usually([3, 20], 3))
@pytest.mark.gen_test(timeout=550)
async def test_attack_generated_requests(
    api: Api, base_url: str, tmp_path: Path, failing: Spec, examples: int
) -> None:
    """A client is made from the document; where that is wrong, so is the client.

    Odd requests are also how somebody looks for a handler that raises, or takes what it should not.
    """
    document = json.loads((await api.fetch("/api/openapi.json")).body)
    deletes = [path for path, operations in document["paths"].items() if "delete" in operations]
    assert deletes == ["/api/launches/{launch_id}"], "use_after_free holds for other paths"
    links = json.loads((await api.post({"spec": str(failing)})).body)
    await api.whole(links["events_url"])
    config = tmp_path / "schemathesis.toml"
    config.write_text(_CONFIG.format(launch_id=links["id"]))
    code, output = await schemathesis(base_url, config, tmp_path, examples)
    assert code == 0, output
    tested = re.search(r"Tested: (\d+)", output)
    assert tested is not None, output
    assert int(tested[1]) == 29
