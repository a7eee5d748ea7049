"""Where the time went, and how long a launch will still take."""
