"""``python -m binderprogress.deploy.binderhub``."""

from .app import main

if __name__ == "__main__":
    main()
