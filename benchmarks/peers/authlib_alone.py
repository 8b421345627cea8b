"""Authlib behind Flask with clients in memory: client credentials for signed tokens, and introspection of them."""

import json
import os
from pathlib import Path
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator, JWTIntrospectionEndpoint
from flask import Flask, Response
from joserfc.jwk import KeySet


class Client(ClientMixin):
    """A client that may do what is measured, and nothing else."""

    def __init__(self, client_id: str, client_secret: str, scope: str) -> None:
        self.client_id = client_id
        self._secret = client_secret
        self._scope = scope

    def get_client_id(self) -> str:
        """What it is called in tokens."""
        return self.client_id

    def get_allowed_scope(self, scope: str) -> str:
        """All that it has."""
        return self._scope

    def check_client_secret(self, client_secret: str) -> bool:
        """Whether it is this one."""
        return client_secret == self._secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Basic alone."""
        return method == "client_secret_basic"

    def check_grant_type(self, grant_type: str) -> bool:
        """Client credentials alone."""
        return grant_type == "client_credentials"


def build() -> Any:
    """The application of one worker. SETTINGS names a file with the clients and the key."""
    given = json.loads(Path(os.environ["SETTINGS"]).read_text())
    clients = {one["client_id"]: Client(**one, scope=given["scope"]) for one in given["clients"]}
    keys = KeySet.import_key_set({"keys": [given["jwk"]]})

    class Tokens(JWTBearerTokenGenerator):
        def get_jwks(self) -> Any:
            return keys

    class Introspection(JWTIntrospectionEndpoint):
        def get_jwks(self) -> Any:
            return keys

        def check_permission(self, token: Any, client: Any, request: Any) -> bool:
            return True

    app = Flask("authlib", static_folder=None)
    server = AuthorizationServer(app, query_client=clients.get, save_token=lambda token, request: None)
    server.register_token_generator("default", Tokens(given["issuer"], alg="ES256"))
    server.register_grant(ClientCredentialsGrant)
    server.register_endpoint(Introspection(given["issuer"], server))

    @app.post("/token")
    def issue() -> Response:
        return server.create_token_response()

    @app.post("/introspect")
    def introspect() -> Response:
        return server.create_endpoint_response("introspection")

    return app
