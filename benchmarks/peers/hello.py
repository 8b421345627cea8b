"""Flask's hello: what the server and Flask cost by themselves."""

from flask import Flask, Response

app = Flask("hello", static_folder=None)


@app.route("/", methods=["GET", "POST"])
def hello() -> Response:
    """One small JSON answer."""
    return Response(b'{"hello":"world"}', mimetype="application/json")
