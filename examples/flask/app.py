"""A service of two operations, each for a scope of its own: `granian --interface wsgi app:app`."""

from flask import Flask, g

from guard import guard, public, requires

app = Flask(__name__, static_folder=None)
guard(app)


@app.get("/customers")
@requires("customer:view")
def list_customers() -> dict[str, object]:
    """Whoever may look."""
    return {"customers": [], "asked_by": str(g.credential.credential_id)}


@app.post("/customers/edit")
@requires("customer:view", "customer:edit")
def edit_customers() -> dict[str, object]:
    """Whoever may look and edit."""
    return {"edited": True, "asked_by": str(g.credential.credential_id)}


@app.get("/healthz")
@public
def health() -> dict[str, object]:
    """Everybody."""
    return {"status": "ok"}
