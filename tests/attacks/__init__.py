"""Attacks that worked once, each as a test named for it.

Every test starts a real server, or the real part that was attacked, and does what an attacker would
do. Its docstring says who attacks, and what they would gain.
"""
