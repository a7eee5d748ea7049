"""Configuration of the web server, and the state that its handlers share."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from prometheus_client.registry import Collector
from traitlets import Bool, Enum, Float, Integer, List, Unicode, validate
from traitlets.config import LoggingConfigurable

from .._daemon_threads import DaemonThreads
from .._share import share_path
from .._version import __version__
from ..core.events import is_http_url
from ..core.kubernetes.prepull_report import PrepullReport
from ..errors import ServerStoppingError
from ..launches import Fanout, LaunchManager
from .access import Access, Everyone
from .additions import PageAdditions
from .gallery import Gallery, read_gallery
from .log_turns import LogTurns
from .metrics import LaunchCollector, ReplicaCollector, registry
from .rate_limit import RateLimiter
from .static_names import hashed_name
from .tickets import Tickets

if TYPE_CHECKING:
    import jinja2

    from ..whatif.question import Question
    from ..whatif.report import SimulationReport
    from .health_check import HealthCheck
    from .hosts import Hosts

__all__ = ["Web", "page_url"]

_ALONE = 1.0
"""Maximum seconds within which viewers reconnect if there are no other replicas."""

_LONGEST_STAY = 3.0
"""Maximum seconds within which WebSockets are closed. The server exits no earlier, and is killed if
it takes too long."""

_GRACE = 0.25
"""Seconds before which no viewer reconnects. Those who come at once, again and again, would keep a
server busy that has only started."""

_MOST_QUERIES = 8
"""Maximum number of queries of the history at the same time, also while the database hangs."""


class Web(LoggingConfigurable):
    """Configuration and shared state of the handlers.

    Parameters
    ----------
    launches : LaunchManager
        The launches that the handlers start, show and cancel.
    access : Access, optional
        Identifies users and decides what they may do. The default is everyone.
    checks : sequence of HealthCheck, optional
        The health checks that ``/health`` runs, besides that of the launches.
    collectors : sequence of Collector, optional
        Further metrics.
    hosts : Hosts, optional
        Chooses the host of each launch, if the launches of a browser are to have the same one.
    prepull : callable, optional
        Returns the state of images that are pulled in advance, if any are.
    simulate : callable, optional
        Answers what other nodes or policies would bring; used only with `whatif`.
    front_page : mapping, optional
        "engine", which the front page names, and "hub_url", to which the navigation links.
    pages : collection of str, optional
        Paths of the pages besides the front page.
    static_path, badge_path : str, optional
        Paths of the static files and of the badge, relative to the base URL.
    origins_setting : str, optional
        The setting that error messages name for allowing other sites.
    """

    base_url = Unicode("/", help="The URL path under which everything is served.").tag(config=True)

    allowed_origins = List(
        Unicode(),
        help="""
        Origins of other sites whose pages may start and watch launches, such as
        https://example.org. "*" allows all sites.
        """,
    ).tag(config=True)

    keepalive = Float(
        15.0,
        min=0.0,
        help="Seconds of silence after which a stream sends a comment, so that no proxy closes it. "
        "0 disables keepalives.",
    ).tag(config=True)

    linger = Float(
        60.0,
        help="Seconds for which /build/ keeps the connection open after the server is ready, as "
        "BinderHub does. It ends earlier if the client closes the connection.",
    ).tag(config=True)

    viewer_timeout = Float(
        60.0,
        help="Seconds after which a viewer that does not read is disconnected. It can resume.",
    ).tag(config=True)

    reconnect_spread = Float(
        3.0,
        min=0.0,
        help="""
        Seconds within which viewers reconnect when this server is stopped, each at another moment,
        so that they do not all come to the other replicas at once. Without other replicas, it is 1
        at most. WebSockets are closed within this time, 3 at most, and without other replicas at
        once.
        """,
    ).tag(config=True)

    rate_limit = Integer(
        60,
        help="Maximum number of launches that one client may start within rate_period. Replicas "
        "that share a database count together. 0 disables the limit.",
    ).tag(config=True)

    rate_period = Float(60.0, help="The period of rate_limit, in seconds.").tag(config=True)

    history_timeout = Float(
        10.0,
        help="Seconds to wait for the history's database. Then /api/stats, /api/popular and /stats "
        "answer with 503. Launches do not wait for it.",
    ).tag(config=True)

    open_ready = Enum(
        ["none", "same-tab", "new-tab"],
        default_value="none",
        help="""
        What the launch page does when the server is ready, besides showing the link: "same-tab"
        opens it in place of the launch page, as BinderHub's page does, and "new-tab" in a new tab,
        if the browser allows it. A link may choose with ?open=same-tab. Launches that were not
        started in this tab are never opened by themselves.
        """,
    ).tag(config=True)

    trust_proxy = Bool(
        False,
        help="Take the client's address and scheme from the headers X-Forwarded-For and "
        "X-Forwarded-Proto. Enable this only behind a proxy that sets both: otherwise clients can "
        "forge their address.",
    ).tag(config=True)

    local_only = Bool(
        False,
        help="Answer only requests for localhost. This protects a server on your own machine "
        "against DNS rebinding.",
    ).tag(config=True)

    hsts_max_age = Integer(
        30 * 86_400,
        min=0,
        help="""
        Seconds for which browsers that connected over https use only https for this host
        (Strict-Transport-Security). 0 disables the header.

        The header applies to the whole host. The default is therefore 0 where the host is shared:
        as a JupyterHub service, in a Jupyter server, and inside a BinderHub.
        """,
    ).tag(config=True)

    confirm_foreign = Bool(
        False,
        help="""
        Ask for confirmation on the launch page before a launch starts, unless the visitor came
        from one of this server's own pages.

        Enabled by default where a launch runs code with the visitor's rights: with the engine
        "local", as a JupyterHub service, in a Jupyter server, and inside a BinderHub with logins.
        """,
    ).tag(config=True)

    name_repositories = Bool(
        True,
        help="""
        Show the names of repositories and their images in /api/stats and /api/popular.

        Disabled by default where private repositories can be launched: with
        GitResolver.credentials, and inside a BinderHub. Local folders and repositories that are
        fetched over ssh are never shown.
        """,
    ).tag(config=True)

    whatif = Bool(
        False,
        help="""
        Serve /whatif, where visitors simulate launches with other nodes, images or standing
        servers. One simulation runs at a time, at a low priority, for at most 30 seconds.
        """,
    ).tag(config=True)

    gallery = Unicode(
        help="""
        The path of a YAML file with the entries of the front page. It is a list; each entry has a
        title and a spec (or repo and ref), and optionally a description, picture, urlpath, slug
        and kind.
        """
    ).tag(config=True)

    @validate("base_url")
    def _validate_base_url(self, proposal: Any) -> str:
        path = str(proposal["value"]).strip("/")
        return f"/{path}/" if path else "/"

    def __init__(
        self,
        *,
        launches: LaunchManager,
        access: Access | None = None,
        checks: Sequence[HealthCheck] = (),
        collectors: Sequence[Collector] = (),
        hosts: Hosts | None = None,
        prepull: Callable[[], PrepullReport] | None = None,
        simulate: Callable[[Question], Awaitable[SimulationReport]] | None = None,
        front_page: Mapping[str, Any] | None = None,
        pages: Collection[str] = ("launches", "link", "stats", "prepull", "whatif"),
        static_path: str = "static/",
        badge_path: str = "badge.svg",
        origins_setting: str = "c.Web.allowed_origins",
        additions: PageAdditions | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.launches = launches
        self.fanout = Fanout(self, self.launches.storage)
        """Sends events to the viewers."""
        self.access: Access = access or Everyone()
        """Identifies users and decides what they may do."""
        self.limiter = self._limiter()
        self.is_stopping = False
        """Whether the server is being stopped."""
        self.history_threads = self._history_threads()
        """Read the history."""
        self.log_turns = LogTurns()
        """Whose turn it is to read parts of logs."""
        self.tickets = Tickets()
        """Let this server's own pages start launches without confirmation."""
        self.gallery_items = self._gallery()
        """The entries of the front page."""
        self.checks = list(checks)
        """The health checks that ``/health`` runs, besides that of the launches."""
        self.hosts = hosts
        """Chooses the host of each launch, if there are several."""
        self.prepull = prepull
        """Returns the state of images that are pulled in advance, if any are."""
        self.simulate = simulate if self.whatif else None
        """Answers what other nodes or policies would bring, if that is enabled."""
        self.front_page: dict[str, Any] = {"engine": "", "hub_url": "", **(front_page or {})}
        """What the pages say about this server: "engine", and "hub_url"."""
        self.nav = [path for path in self._pages() if path in pages]
        """Paths of the pages that each page links to."""
        self.static_path = static_path
        """Path of the static files, relative to the base URL."""
        self.collectors = [LaunchCollector(launches), ReplicaCollector(launches.replicas)]
        """Prometheus metrics of the launches and replicas."""
        self.metrics = registry(*self.collectors, *collectors)
        """The Prometheus registry that ``/metrics`` serves."""
        self.badge_path = badge_path
        """Path of the badge, relative to the base URL."""
        self.origins_setting = origins_setting
        """The setting that error messages name for allowing other sites."""
        self.additions = additions or PageAdditions()
        """What the operator adds to all pages."""

    def _limiter(self) -> RateLimiter:
        return RateLimiter(
            limit=self.rate_limit,
            period=self.rate_period,
            shared=self.launches.replicas.rates,
            log=self.log,
        )

    def _gallery(self) -> Gallery:
        return read_gallery(Path(self.gallery).expanduser()) if self.gallery else Gallery()

    def _history_threads(self) -> DaemonThreads:
        return DaemonThreads("history query", most=_MOST_QUERIES, timeout=self.history_timeout)

    def refuse_requests(self) -> None:
        """Answer requests with 503 from now on, because the server is being stopped.

        Viewers stay until `release_viewers` is called.
        """
        self.is_stopping = True
        self.fanout.hold()
        others = self.launches.replicas.count - 1
        # Alone, the next server should start and have its viewers back soon.
        self._spread = self.reconnect_spread if others else min(self.reconnect_spread, _ALONE)
        self._stay = min(self.reconnect_spread, _LONGEST_STAY) if others else 0.0

    def refuse_if_stopping(self) -> None:
        """Refuse a request if the server is being stopped.

        Raises
        ------
        ServerStoppingError
        """
        if self.is_stopping:
            raise ServerStoppingError

    async def release_viewers(self) -> None:
        """Let all viewers reconnect, and wait up to 5 seconds. Call `refuse_requests` before."""
        spread = self._spread
        await self.fanout.close(
            lambda: _GRACE + random.uniform(0.0, spread),  # noqa: S311 - no secret
            spread=self._stay,
        )

    @cached_property
    def _templates(self) -> jinja2.Environment:
        # Imported with the first page, so that the server starts faster.
        import jinja2

        return jinja2.Environment(
            loader=jinja2.FileSystemLoader(share_path("templates")),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
        )

    def _pages(self) -> Iterator[str]:
        if self.access.lists:
            yield "launches"
        yield "link"
        yield "stats"
        if self.prepull is not None and self.name_repositories:
            yield "prepull"
        if self.simulate is not None:
            yield "whatif"

    def render(
        self, template: str, *, language: str = "en", asked: str = "", **variables: Any
    ) -> str:
        """Return a page as HTML.

        Parameters
        ----------
        template : str
            Name of a file in ``share/binderprogress/templates``.
        language : str, optional
            The tag of the page's language, from `choose_language`.
        asked : str, optional
            The language that the address of the page names. Links to other pages name it, too.
        **variables
            Variables for the template.
        """
        # Imported with the first page, so that the server starts faster.
        from markupsafe import Markup

        from .texts import texts_in

        hub_url = self.front_page["hub_url"]
        static_url = self.base_url + self.static_path
        texts = texts_in(language)
        return self._templates.get_template(template).render(
            base_url=self.base_url,
            static_path=self.static_path,
            static_url=static_url,
            hashed_url=lambda name: static_url + hashed_name(name),
            page_url=partial(page_url, self.base_url, asked),
            code=Markup("<code>{}</code>").format,
            lang=texts.tag,
            dir=texts.dir,
            say=texts.say,
            localize=texts.localize,
            heading=texts.heading,
            number=texts.number,
            size=texts.size,
            unit=texts.unit,
            date=texts.date,
            words=lambda *prefixes: json.dumps(texts.named(*prefixes)),
            version=__version__,
            lists=self.access.lists,
            nav=self.nav,
            hub_url=hub_url if is_http_url(hub_url) else "",
            additions=self.additions,
            **{"here": "", **variables},
        )


def page_url(base_url: str, language: str, path: str, **query: str) -> str:
    """Return the path of a page.

    Parameters
    ----------
    base_url : str
    language : str
        The language that the address of the page with the link names, or an empty string.
    path : str
    **query
        Arguments; empty ones are left out.
    """
    named = {name: value for name, value in {**query, "lang": language}.items() if value}
    return f"{base_url}{path}{'?' if named else ''}{urlencode(named)}"
