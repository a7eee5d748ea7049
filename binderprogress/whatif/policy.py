"""What a cluster has and does, and what launches take: the sections of a scenario file."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ..errors import ConfigError

__all__ = [
    "Background",
    "Builds",
    "Day",
    "Hubs",
    "Launches",
    "LearningClass",
    "Nodes",
    "Policy",
    "Prepull",
    "Quota",
    "Servers",
    "Standby",
    "changed",
    "full_key",
    "read_policy",
]

_Whole = Annotated[int, Meta(ge=0, le=1_000_000)]
_Some = Annotated[int, Meta(ge=1, le=1_000_000)]
_Amount = Annotated[float, Meta(ge=0.0, le=1e9)]
_Positive = Annotated[float, Meta(gt=0.0, le=1e9)]
_Name = Annotated[str, Meta(min_length=1, max_length=200)]
_SHORT = {
    "builds": "builds.slots",
    "hubs": "hubs.count",
    "nodes": "nodes.most",
    "prepull": "prepull.images",
    "standby": "standby.servers",
}
Day = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Hubs(_Section, frozen=True, kw_only=True):
    """The JupyterHubs or BinderHubs, each with nodes and build slots of its own.

    Attributes
    ----------
    count : int
    routing : str
        ``rendezvous``: a repository always goes to the same one. ``random``: each launch goes
        anywhere.
    shared_registry : bool
        Whether an image that one has built is there for all.
    """

    count: Annotated[int, Meta(ge=1, le=100)] = 1
    routing: Literal["rendezvous", "random"] = "rendezvous"
    shared_registry: bool = False


class Nodes(_Section, frozen=True, kw_only=True):
    """The nodes of each hub, all of one kind.

    Attributes
    ----------
    least, most : int
        Between these, the autoscaler adds and removes nodes.
    memory_gb : float
        What servers can use of a node.
    price : float
        Of a node, for one hour.
    boot_seconds : float
        From the decision to add a node until it takes servers.
    idle_minutes : float
        A node without servers is removed after this time.
    placeholders : int
        Servers' worth of room that is kept free. Without them, a node is added only when a
        server finds no room.
    packing : str
        ``fullest``: servers go to the fullest node that has room, so that others become empty.
        ``emptiest``: they are spread.
    prefer_image : bool
        Whether a node that has the image comes first.
    pull_mb_per_second : float
        How fast a node pulls and unpacks images. It pulls one at a time.
    images_gb : float
        Room for images. If they need more, those not used for the longest time are removed until
        seven eighths of it are used.
    """

    least: _Some = 1
    most: _Some = 10
    memory_gb: _Positive = 48.0
    price: _Amount = 0.40
    boot_seconds: _Amount = 120.0
    idle_minutes: _Amount = 10.0
    placeholders: _Whole = 0
    packing: Literal["fullest", "emptiest"] = "fullest"
    prefer_image: bool = True
    pull_mb_per_second: _Positive = 100.0
    images_gb: _Positive = 80.0


class Servers(_Section, frozen=True, kw_only=True):
    """The servers of users.

    Attributes
    ----------
    memory_gb : float
        What a server has guaranteed. It decides how many fit on a node.
    idle_minutes : float
        A server is culled when nobody has used it for so long.
    patience_minutes : float
        A launch that finds no room fails after this time.
    """

    memory_gb: _Positive = 2.0
    idle_minutes: _Amount = 10.0
    patience_minutes: _Positive = 10.0


class Builds(_Section, frozen=True, kw_only=True):
    """The builds of each hub. `slots` is how many run at the same time; 0: no limit."""

    slots: _Whole = 0


class Prepull(_Section, frozen=True, kw_only=True):
    """Images that nodes pull before anybody launches them.

    Attributes
    ----------
    images : int
        How many, the most popular ones; 0: none.
    images_gb : float
        Room on each node for them.
    when : str
        ``always``: whenever a node lacks one. ``new-node``: only when a node joins.
    at_once : int
        Most nodes that pull in advance at the same time.
    """

    images: _Whole = 0
    images_gb: _Positive = 40.0
    when: Literal["always", "new-node"] = "always"
    at_once: _Some = 10


class Standby(_Section, frozen=True, kw_only=True):
    """Servers that are started ahead, and given to the next launch of their image.

    Attributes
    ----------
    servers : int
        How many each hub keeps ready.
    repositories : int
        Most repositories that they are for: the most popular ones, more servers for the more
        popular.
    names : list of str
        Only for these, instead.
    max_age_minutes : float
        Older ones are replaced.
    """

    servers: _Whole = 0
    repositories: _Some = 20
    names: list[_Name] = []
    max_age_minutes: _Positive = 45.0


class Quota(_Section, frozen=True, kw_only=True):
    """Limits of each hub: running servers of one repository, and of all; 0: no limit."""

    repository: _Whole = 0
    servers: _Whole = 0


class Launches(_Section, frozen=True, kw_only=True):
    """What launches take where the record does not say it. Times are medians.

    Attributes
    ----------
    check_seconds : float
        Until it is known whether the image exists.
    build_seconds : float
        Of a build, with fetching and pushing.
    image_gb : float
        Size of an image on a node.
    start_seconds : float
        From the image on the node until the server answers.
    handover_seconds : float
        To hand over a standing server.
    stay_minutes : float
        How long people use a server. No record says this.
    late_seconds : float
        People who wait longer than this are counted as waiting.
    """

    check_seconds: _Amount = 0.5
    build_seconds: _Positive = 240.0
    image_gb: _Positive = 2.0
    start_seconds: _Positive = 6.0
    handover_seconds: _Amount = 0.2
    stay_minutes: _Positive = 20.0
    late_seconds: _Positive = 10.0


class LearningClass(_Section, frozen=True, kw_only=True):
    """A class that launches one repository at the same time.

    Attributes
    ----------
    students : int
    days : list of str
    at : str
        Such as ``10:00``.
    within_minutes : float
        Half of the students have launched after a third of this time; nobody is later.
    stay_minutes : float
        How long they use their servers.
    repository : str
    is_built : bool
        Whether the image exists before the first lesson.
    """

    students: Annotated[int, Meta(ge=1, le=100_000)]
    days: Annotated[list[Day], Meta(min_length=1)]
    at: Annotated[str, Meta(pattern=r"^([01]?\d|2[0-3]):[0-5]\d$")] = "10:00"
    within_minutes: _Positive = 10.0
    stay_minutes: _Positive = 90.0
    repository: _Name = "class"
    is_built: bool = True


class Background(_Section, frozen=True, kw_only=True):
    """Launches of all kinds of repositories, more by day than by night.

    Attributes
    ----------
    launches_per_day : int
    repositories : int
        The second most popular one is launched half as often as the first, and so on.
    commits_per_day : float
        How many repositories get a new commit, and so need a new image, popular ones more often.
    """

    launches_per_day: Annotated[int, Meta(ge=0, le=200_000)] = 0
    repositories: Annotated[int, Meta(ge=1, le=100_000)] = 200
    commits_per_day: Annotated[float, Meta(ge=0.0, le=10_000.0)] = 20.0


class Policy(_Section, frozen=True, kw_only=True):
    """A scenario file.

    Attributes
    ----------
    currency : str
        Of prices.
    hubs, nodes, servers, builds, prepull, standby, quota, launches, background
        The sections.
    classes : list of LearningClass
    """

    currency: Annotated[str, Meta(max_length=8)] = "$"
    hubs: Hubs = Hubs()
    nodes: Nodes = Nodes()
    servers: Servers = Servers()
    builds: Builds = Builds()
    prepull: Prepull = Prepull()
    standby: Standby = Standby()
    quota: Quota = Quota()
    launches: Launches = Launches()
    background: Background = Background()
    classes: list[LearningClass] = []

    @property
    def servers_per_node(self) -> int:
        """How many servers fit on a node."""
        return int(self.nodes.memory_gb / self.servers.memory_gb + 1e-9)


def read_policy(values: dict[str, Any], *, name: str) -> Policy:
    """Check the values of a scenario file.

    Parameters
    ----------
    values : dict
        As TOML or JSON has them.
    name : str
        What to call the file in messages.

    Raises
    ------
    ConfigError
        If there is an unknown key or an invalid value. The message says where.
    """
    _check_keys(values, Policy, "", name)
    try:
        policy = msgspec.convert(values, Policy)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at ")
        key = where.strip("`").removeprefix("$").removeprefix(".")
        raise ConfigError(f"{name}: {key or 'its content'} is invalid: {message}.") from error
    _check_sense(policy, name)
    return policy


def changed(policy: Policy, setting: str, *, name: str) -> Policy:
    """Return a policy with another value, as in ``standby.servers=40``.

    Raises
    ------
    ConfigError
        If there is no such key, or the value is invalid.
    """
    key, equals, text = (part.strip() for part in setting.partition("="))
    section, dot, field = full_key(key).partition(".")
    if not (equals and dot and field and text):
        raise ConfigError(f"{name}: {setting!r} is no setting such as standby.servers=40.")
    values = msgspec.to_builtins(policy)
    inner = values.get(section)
    values[section] = {**(inner if isinstance(inner, dict) else {}), field: _value(text)}
    return read_policy(values, name=name)


def full_key(key: str) -> str:
    """Return the full name of a setting that may be in short, such as ``standby``."""
    return _SHORT.get(key, key)


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _check_keys(values: Any, of: type[msgspec.Struct], path: str, name: str) -> None:
    """Fail at the first key that a section does not have."""
    if not isinstance(values, dict):
        return
    fields = {field.name: field.type for field in msgspec.structs.fields(of)}
    for key, value in values.items():
        if key not in fields:
            near = get_close_matches(str(key), fields, n=1)
            hint = f" Did you mean {path}{near[0]}?" if near else f" Known: {', '.join(fields)}."
            raise ConfigError(f"{name}: unknown key {path}{key}.{hint}")
        kind = fields[key]
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            _check_keys(value, kind, f"{path}{key}.", name)
        elif key == "classes" and isinstance(value, list):
            for number, each in enumerate(value):
                _check_keys(each, LearningClass, f"classes[{number}].", name)


def _check_sense(policy: Policy, name: str) -> None:
    if policy.servers_per_node < 1:
        raise ConfigError(
            f"{name}: no server fits on a node. Raise nodes.memory_gb "
            f"({policy.nodes.memory_gb:g}) or lower servers.memory_gb "
            f"({policy.servers.memory_gb:g})."
        )
    if policy.nodes.most < policy.nodes.least:
        raise ConfigError(
            f"{name}: nodes.most ({policy.nodes.most}) is less than nodes.least "
            f"({policy.nodes.least})."
        )
