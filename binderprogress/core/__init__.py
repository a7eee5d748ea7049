"""Events, phases, log reading and estimates, without I/O. Callers pass the time."""
