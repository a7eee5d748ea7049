"""What kubelets say of pulls."""

from __future__ import annotations

import pytest

from binderprogress.core.kubernetes.pulls import Pulled, node_of, pulled


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (
            (
                'Successfully pulled image "r.example/x:1" in 32.5s (40.1s including waiting). '
                "Image size: 1234567890 bytes."
            ),
            Pulled(32.5, 1234567890),
        ),
        ('2026-11-23T04:54:14Z [Normal] Successfully pulled image "a" in 1.2s', Pulled(1.2, 0)),
        ('Successfully pulled image "a" in 850.5ms', Pulled(0.8505, 0)),
        ('Successfully pulled image "a" in 1m32.5s', Pulled(92.5, 0)),
        ('Successfully pulled image "a" in 1h0m2s', Pulled(3602.0, 0)),
        ('Successfully pulled image "a" in 1.2.3s', None),
        ('Successfully pulled image "a" in a while', None),
        ('Successfully pulled image "a" in 3s, or so', None),
        ('Pulling image "a"', None),
    ],
)
def test_pulls(message: str, found: Pulled | None) -> None:
    assert pulled(message) == found


def test_nodes() -> None:
    message = "2026-11-23T04:54:13Z [Normal] Successfully assigned default/jupyter-kim to node1"
    assert node_of(f"{message}\n") == "node1"
    assert node_of("Successfully assigned") == ""
