"""The configuration of the channel store."""
