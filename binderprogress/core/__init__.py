"""Events, phases, normalising and estimating: no I/O, and no clock of its own."""
