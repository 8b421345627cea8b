"""The OpenAPI document, and the page that shows it without a connection to anywhere."""

from typing import Any

from flask import Flask, Response
from flask_smorest import Api

from api import outgoing

SECURITY_SCHEMES: dict[str, dict[str, Any]] = {
    "operatorToken": {"type": "http", "scheme": "bearer", "description": "An operator's token, `kl_operator_...`."},
    "gatewayToken": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Gateway-Token",
        "description": "The token of an operator with the role `verifier`.",
    },
}


def register(app: Flask, api: Api) -> None:
    """Serve `/openapi.json`, from the blueprints that are registered."""
    for name, scheme in SECURITY_SCHEMES.items():
        api.spec.components.security_scheme(name, scheme)
    document = outgoing.to_json(api.spec.to_dict())

    @app.get("/openapi.json")
    def openapi() -> Response:
        return Response(document, mimetype="application/json", headers={"Cache-Control": "public, max-age=300"})
