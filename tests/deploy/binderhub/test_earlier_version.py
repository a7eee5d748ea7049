"""Inside a BinderHub, an earlier image is offered while the newest one is built."""

from __future__ import annotations

import pytest

from ...support import inside as played
from ...support.inside import add_image, inside

OLD, NEW, NEWEST = "a" * 40, "b" * 40, "c" * 40


def test_an_image_that_the_registry_has_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    with inside(LaunchManager={"offer_earlier": True}) as server:
        monkeypatch.setattr(played, "COMMIT", OLD)
        add_image(server)
        assert server.watch(server.start())[-1]["phase"] == "ready"
        asked = len(played.PlayedRegistry.asked)

        # The branch moves on.
        monkeypatch.setattr(played, "COMMIT", NEW)
        stream = server.stream(f"api/launches/{server.start().json()['id']}/events")
        build = server.build()
        earlier = next(event["earlier"] for _, event in stream if "earlier" in event)
        build.end()
        *_, (_, last) = stream
        assert last["phase"] == "ready"
        assert (earlier["spec"], earlier["commit"]) == (f"gh/a/b/{OLD}", OLD)
        # A BinderHub does not say when an image was built.
        assert earlier["date_of"] == "launch"
        looked_for = played.PlayedRegistry.asked[asked:]
        assert [image.rpartition(":")[2] for image in looked_for] == [NEW, OLD]

        # Nothing is offered that is not there any more.
        played.PlayedRegistry.images.clear()
        monkeypatch.setattr(played, "COMMIT", NEWEST)
        started = server.start()
        server.build().end()
        assert not [event for event in server.watch(started) if "earlier" in event]
