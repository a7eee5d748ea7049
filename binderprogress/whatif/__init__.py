"""What would change with other nodes, images or standing servers: launches, simulated.

A *source* (`classes`, `past`, `event_log`) says what people launch. A *policy* says what a cluster
has and does. `replay` runs the one through the other, and `outcome` sums up several such runs.
Nothing here does I/O.
"""
