"""What the handlers share: configuration, the launches, the templates."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitlets import Bool, Float, Integer, List, Unicode, validate
from traitlets.config import LoggingConfigurable

from .._share import share_path
from .._version import __version__
from ..launches import Fanout, LaunchManager
from .access import Access, Everyone
from .gallery import Gallery, read_gallery
from .metrics import LaunchCollector, registry
from .rate_limit import RateLimiter
from .tickets import Tickets

if TYPE_CHECKING:
    import jinja2

    from .health_check import HealthCheck

__all__ = ["Web"]


class Web(LoggingConfigurable):
    """The web side's configuration and state.

    Parameters
    ----------
    launches : LaunchManager
    """

    base_url = Unicode("/", help="The path below which everything is served.").tag(config=True)

    allowed_origins = List(
        Unicode(),
        help="""
        Origins of other sites that may start and watch launches from a browser, as
        https://example.org. "*" allows every site.
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
        help="Seconds for which /build/ keeps the connection when the server is ready, or until "
        "the client closes it, as BinderHub does.",
    ).tag(config=True)

    viewer_timeout = Float(
        60.0, help="Seconds after which a viewer that does not read is dropped; it can resume."
    ).tag(config=True)

    rate_limit = Integer(
        60, help="How many launches one client may start within rate_period; 0: no limit."
    ).tag(config=True)

    rate_period = Float(60.0, help="Seconds.").tag(config=True)

    trust_proxy = Bool(
        False,
        help="Take the client's address and scheme from X-Forwarded-For and -Proto. Only behind a "
        "proxy that sets them; else anyone could pass for anyone.",
    ).tag(config=True)

    local_only = Bool(
        False,
        help="Answer only requests for localhost. It keeps pages elsewhere from reaching a server "
        "on this machine by a name of their own (DNS rebinding).",
    ).tag(config=True)

    hsts_max_age = Integer(
        30 * 86_400,
        min=0,
        help="""
        Seconds for which browsers that came by https come back by https only
        (Strict-Transport-Security); 0: nothing is said.

        It holds for the whole host, so the default is 0 where the host belongs to others: as a
        service of a JupyterHub, in a Jupyter server, and in a BinderHub.
        """,
    ).tag(config=True)

    confirm_foreign = Bool(
        False,
        help="""
        Let the launch page ask before it starts what its address names, unless the person came
        from one of our own pages.

        On by default where a launch runs code with the rights of who launches: with the engine
        "local", as a service of a JupyterHub, in a Jupyter server, and in a BinderHub with logins.
        """,
    ).tag(config=True)

    name_repositories = Bool(
        True,
        help="""
        Name repositories and their images in /api/stats and /api/popular.

        By default not where private ones can be launched: with GitResolver.credentials, and in a
        BinderHub. Folders of this machine, and what is fetched over ssh, are never named.
        """,
    ).tag(config=True)

    gallery = Unicode(
        help="""
        The path of a YAML file with what the front page offers: a list of entries with title, spec
        (or repo and ref), and if wanted description, picture, urlpath, slug and kind.
        """
    ).tag(config=True)

    @validate("base_url")
    def _validate_base_url(self, proposal: Any) -> str:
        path = str(proposal["value"]).strip("/")
        return f"/{path}/" if path else "/"

    def __init__(self, *, launches: LaunchManager, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.launches = launches
        self.fanout = Fanout(self)
        """What sends launches to their viewers."""
        self.access: Access = Everyone()
        """Who may ask for what."""
        self.limiter = RateLimiter(limit=self.rate_limit, period=self.rate_period)
        self.tickets = Tickets()
        """With which our own pages start launches without asking again."""
        self.gallery_items = (
            read_gallery(Path(self.gallery).expanduser()) if self.gallery else Gallery()
        )
        """What the front page offers."""
        self.checks: list[HealthCheck] = []
        """What must work for a launch, beside ourselves; ``/health`` asks."""
        self.front_page: dict[str, Any] = {"engine": "", "hub_url": ""}
        """More variables for the template of the front page."""
        self.static_path = "static/"
        """Where the browser's files are, below the base URL."""
        self.collector = LaunchCollector(launches)
        """Numbers of the launches, for Prometheus."""
        self.metrics = registry(self.collector)
        """What ``/metrics`` tells; others may register theirs."""
        self.badge_path = "badge.svg"
        """Where the badge is, below the base URL."""
        self.origins_setting = "c.Web.allowed_origins"
        """Where whoever runs this server allows pages of other sites."""

    @cached_property
    def _templates(self) -> jinja2.Environment:
        # Only with the first page: it is none of what a server needs to answer.
        import jinja2

        return jinja2.Environment(
            loader=jinja2.FileSystemLoader(share_path("templates")),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
        )

    def render(self, template: str, **variables: Any) -> str:
        """Render a page."""
        return self._templates.get_template(template).render(
            base_url=self.base_url,
            static_path=self.static_path,
            static_url=self.base_url + self.static_path,
            version=__version__,
            lists=self.access.lists,
            **variables,
        )
