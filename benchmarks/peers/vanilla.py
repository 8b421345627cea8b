"""The eventsourcing library as its documentation shows it, behind Flask: create a key, one event a command."""

import hashlib
import secrets
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from flask import Flask, Response, jsonify, request


class ApiKey(Aggregate):
    """A key as the library would have it."""

    @event("Created")
    def __init__(self, name: str, contact_email: str, scopes: list[str], digest: str) -> None:
        self.name = name
        self.contact_email = contact_email
        self.scopes = scopes
        self.digest = digest


class Keys(Application[UUID]):
    """Persisted to the PostgreSQL that the environment names."""

    def create(self, name: str, contact_email: str, scopes: list[str]) -> tuple[UUID, str]:
        """Save a new key and return its id and secret."""
        secret = secrets.token_urlsafe(27)
        key = ApiKey(name, contact_email, scopes, hashlib.sha256(secret.encode()).hexdigest())
        self.save(key)
        return key.id, secret


def build() -> Any:
    """The application of one worker; its connections are its own."""
    app = Flask("vanilla", static_folder=None)
    keys = Keys()

    @app.post("/keys")
    def create() -> tuple[Response, int]:
        body = request.get_json()
        key_id, secret = keys.create(body["name"], body["contact_email"], body["scopes"])
        return jsonify(id=str(key_id), secret=secret), 201

    return app
