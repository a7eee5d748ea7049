"""A double of BinderHub's package: as much of it as our extension touches, and as strict.

BinderHub cannot be installed from the package index (the release there is years old), and building
it takes npm and webpack. So `make test` checks our extension against this, and
`tests/real/test_binderhub_extension.py` runs the same tests against the real one, and compares the
two. Names, signatures and what is seen from outside are BinderHub's; the code is not.
"""

__version__ = "0.2.0+double"
