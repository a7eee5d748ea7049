"""The history of finished launches, in a database."""
