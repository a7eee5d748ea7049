"""Seeds that failed once. What each of them does changes with the code; they stay all the same."""

from __future__ import annotations

__all__ = ["FOUND", "FOUND_WITH_MANY", "FOUND_WITH_STANDBY"]

FOUND = {
    14: "the store failed while launches were taken up: they were left until the next restart",
    34: "a server was stopped while it took up launches",
    42: "a server was killed between making a channel and its first event",
    58: "a server was killed between the last event and closing the channel",
    73: "a build was cancelled during its second attempt, and the last event was of the first",
    139: "a launch that was cancelled before its build went on with an empty channel",
    153: "the bar went back after a restart, because the build had ended before",
    198: "the bar went back after a restart, because the environment was found",
    312: "two requests found the same launch in the store",
    366: "a build's own attempts counted again from 1 after a restart",
    400: "a launch went on with a build that had ended, and its end was never stored",
    423: "events that were not stored moved the bar of a launch that was cancelled",
    461: "who gave up waiting for the store counted as waiting for ever",
    846: "a launch whose build never began could not be read once it was over",
    5113: "a launch ended in the store before the last event of its build was there",
    5744: "a build ended before the launch that was cancelled, which then said that it had failed",
}
"""With one server after the other."""

FOUND_WITH_MANY = {
    3330514051: "a launch had another end where its server had only lost it",
    3330514227: "a viewer at another server saw an event of a build that its launch had left",
    3330514854: "a launch was cancelled before it read the build that it had joined",
    3330515615: "the log of a build that no launch had read yet was never given back",
    5390: "a replica that was paused stopped the server of a launch that another one had taken",
    5509: "as 5390, after it could not store that it asks for a server",
    3330515865: "a viewer of a launch that was given away twice within a second waited for ever",
    370: "a build that was lost as its last events were stored was a failure of its launches",
    814: "the second of two launches whose build's replica was gone could not be stored",
    620: "a viewer missed events: the launch was read before and after another replica ran it",
    1130: "a replica that was paused made users of launches that had ended meanwhile",
    5096: "a build was given up although a launch had it, which then said that it had failed",
    5191: "a launch was taken up with a build whose events could not be stored any more",
    5528: "an answer of the store from an earlier run of a launch ended a later one",
    20062: "a clean-up was stored as its launch was lost, and never ended",
    20242: "a launch ended without an end: its build was lost as it was cancelled",
}
"""With several servers at the same time."""

FOUND_WITH_STANDBY = {
    71: "a replica that had been silent took back the start of a server that it still went on with",
    109: "a replica that had lost the start of a server started it again after it was stopped",
    110: "as 109, and the replica could not give away a server that another one had taken",
    5013: "a launch ended as by an internal error: its build was lost twice at the same time",
    6377: "a server was started again after another replica had stopped it",
    6636: "a build that was lost and taken back was closed by what was left of it",
    30347: "a server that a launch had taken was stopped: its replica was killed as it gave it up",
}
"""With several servers at the same time, and servers that stand ready."""
