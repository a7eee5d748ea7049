"""Tornado handlers for the API and the pages. Launches are run by `binderprogress.launches`."""
