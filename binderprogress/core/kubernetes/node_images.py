"""Remembers which images nodes have, because a kubelet only reports the largest ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

import msgspec

from .nodes import NodeState

__all__ = ["NodeImages"]

# Seconds until a node reports an image that it has pulled: a kubelet lists its images every 30
# seconds, and reports changes every 10.
_REPORTED_AFTER = 120.0
# Seconds for which an image is taken to be there although the node does not report it.
_KEPT_UNSEEN = 6 * 3600.0


class _Pulled(msgspec.Struct):
    size: int
    seen: float


class NodeImages:
    """The images of all nodes, and which of them were pulled in advance."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._nodes: dict[str, NodeState] = {}
        # By the uid of the node, and the name of the image.
        self._pulled: dict[str, dict[str, _Pulled]] = {}
        self._attempted: dict[str, set[str]] = {}

    def update(self, nodes: Iterable[NodeState], now: float) -> None:
        """Note what all nodes report.

        Parameters
        ----------
        nodes : iterable of NodeState
        now : float
            Seconds.
        """
        before, self._nodes = self._nodes, {node.uid: node for node in nodes}
        self._pulled = {uid: self._pulled[uid] for uid in self._nodes if uid in self._pulled}
        self._attempted = {uid: self._attempted.get(uid, set()) for uid in self._nodes}
        for uid, node in self._nodes.items():
            if before.get(uid) is not node:
                self._sizes.update(node.images)
            pulled = self._pulled.get(uid, {})
            for name, image in list(pulled.items()):
                if name in node.images:
                    image.seen = now
                    image.size = node.images[name]
                elif now - image.seen > (_REPORTED_AFTER if node.lists_all else _KEPT_UNSEEN):
                    del pulled[name]

    def attempted(self, uid: str, image: str) -> None:
        """Note that an image is being pulled in advance, whatever comes of it."""
        self._attempted.setdefault(uid, set()).add(image)

    def pulled(self, uid: str, image: str, size: int, now: float) -> None:
        """Note that an image was pulled in advance to the node with this uid.

        Parameters
        ----------
        uid, image : str
        size : int
            Bytes, as long as the node does not report them.
        now : float
            Seconds.
        """
        if uid in self._nodes:
            self._pulled.setdefault(uid, {})[image] = _Pulled(size, now)

    def held(self, uid: str) -> Mapping[str, int]:
        """Return the sizes of all images that a node has, by name."""
        pulled = {name: image.size for name, image in self._pulled.get(uid, {}).items()}
        return {**pulled, **self._nodes[uid].images}

    def occupied(self, uid: str) -> int:
        """Return the bytes that all images of a node take."""
        node = self._nodes[uid]
        unseen = self._pulled.get(uid, {}).keys() - node.images.keys()
        return node.occupied + sum(self._pulled[uid][name].size for name in unseen)

    def ours(self, uid: str) -> Set[str]:
        """Return those that were pulled in advance."""
        reported = self._attempted.get(uid, set()) & self._nodes[uid].images.keys()
        return self._pulled.get(uid, {}).keys() | reported

    def sizes(self) -> Mapping[str, int]:
        """Return all sizes that nodes have reported, by image."""
        return self._sizes

    def keep_sizes(self, images: Set[str]) -> None:
        """Forget the sizes of all images but these."""
        self._sizes = {name: size for name, size in self._sizes.items() if name in images}
