"""What yields the raw records of builds and spawns. The protocols are in `base`."""
