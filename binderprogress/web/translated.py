"""The base class of handlers that send pages in the reader's language."""

from __future__ import annotations

from typing import Any

from .config import Web, page_url
from .languages import choose_language
from .launch_ids import RedactedLogHandler

__all__ = ["TranslatedHandler"]


class TranslatedHandler(RedactedLogHandler):
    """Renders pages."""

    @property
    def web(self) -> Web:
        """Configuration and state that all handlers share."""
        web = self.settings["binderprogress"]
        assert isinstance(web, Web)  # noqa: S101 - for the type checker
        return web

    @property
    def asked_language(self) -> str:
        """The language that the address of the page names, if there is a catalog of it."""
        # Attack: a query that is not UTF-8 must not break the page of the error about it.
        asked = self.request.query_arguments.get("lang", [b""])[-1].decode(errors="replace")
        return asked if choose_language(asked, "") == asked else ""

    @property
    def language(self) -> str:
        """The tag of the language of pages: the one that the address or the browser asks for."""
        return choose_language(self.asked_language, self.request.headers.get("Accept-Language", ""))

    def page_url(self, path: str, **query: str) -> str:
        """Return the path of another page, in the language that this page's address names."""
        return page_url(self.web.base_url, self.asked_language, path, **query)

    def page(self, template: str, **variables: Any) -> str:
        """Return a page as HTML, in the language that its address or the browser asks for.

        Parameters
        ----------
        template : str
            Name of a file in ``share/binderprogress/templates``.
        **variables
            Variables for the template.
        """
        self.vary("Accept-Language")
        return self.web.render(
            template, language=self.language, asked=self.asked_language, **variables
        )

    def vary(self, *names: str) -> None:
        """Say that the response depends on these headers of the request, too."""
        before = self._headers.get("Vary", "").split(", ")
        self.set_header("Vary", ", ".join(dict.fromkeys(filter(None, [*before, *names]))))
