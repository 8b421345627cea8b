"""The applications that are measured, each a WSGI target for the same server."""
