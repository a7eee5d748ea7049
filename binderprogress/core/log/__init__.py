"""Reading a log: its phases, steps and layers, and why it failed."""
