"""Inside a BinderHub: its application, with our launches and addresses in front.

It is started in place of BinderHub, with the same options and the same config file::

    python -m binderprogress.deploy.binderhub --config binderhub_config.py

BinderHub's own parts do the work: repo providers, registry, quota, build class, launcher, metrics,
event log, and all that refuses a request. Only what was one long request there (`BuildHandler.get`)
is taken apart here: `handlers` checks the request, `builder` resolves and builds, `spawner`
launches. In between are `binderprogress.launches`, which share what is read once.
"""
