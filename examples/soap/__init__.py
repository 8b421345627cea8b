"""A web service (SOAP 1.1) whose callers sign in by WS-Security with a UsernameToken, a WSGI application.

The one operation, WhoAmI, tells the caller which credential it used and what that may do: put yours in its place.
Only PasswordText is taken (Web Services Security UsernameToken Profile 1.1.1, section 3.1), so serve it over TLS alone.
PasswordDigest is SHA-1 over a nonce, a time and the password, which nobody can check without the password itself, and
Keyledger keeps none that could be read back.
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.util import application_uri
from xml.sax.saxutils import escape

from keyledger_verify import Unanswered, verify

BODY_BYTES_MAX = 65_536

_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_OURS = "urn:example:whoami"
_WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
_SECURITY = _WSS + "wssecurity-secext-1.0.xsd"
_TOKEN_PROFILE = _WSS + "username-token-profile-1.0"
_WSDL = (Path(__file__).parent / "whoami.wsdl").read_text()

_DIGEST_REFUSED = (
    "PasswordDigest is not taken: to check it the password would have to be kept so that it can be read back, and only "
    "a digest of it is. Send PasswordText over TLS"
)


class _Fault(Exception):
    """What goes wrong, by the codes of Web Services Security: SOAP Message Security 1.1.1, section 12."""

    def __init__(self, code: str, told: str) -> None:
        super().__init__(told)
        self.code = code
        self.told = told


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The WSGI application: GET tells the WSDL, POST carries out a call."""
    if environ["REQUEST_METHOD"] == "GET":
        return _answered(start_response, "200 OK", _WSDL.replace("ADDRESS", _address(environ)))
    try:
        body = _body(environ)
        answer = _admitted(body, environ["REMOTE_ADDR"])
        if body.find(f"{{{_ENVELOPE}}}Body/{{{_OURS}}}WhoAmI") is None:
            raise _Fault("soap:Client", "there is no such operation")
    except _Fault as fault:
        told = f"<faultcode>{fault.code}</faultcode><faultstring>{escape(fault.told)}</faultstring>"
        # The status of every fault (SOAP 1.1, section 6.2).
        return _answered(start_response, "500 Internal Server Error", _enveloped(f"<soap:Fault>{told}</soap:Fault>"))
    told = f"<credentialId>{answer['credential_id']}</credentialId>"
    told += "".join(f"<scope>{escape(scope)}</scope>" for scope in answer["scopes"])
    return _answered(start_response, "200 OK", _enveloped(f'<WhoAmIResponse xmlns="{_OURS}">{told}</WhoAmIResponse>'))


def _admitted(envelope: ET.Element, client_ip: str) -> dict[str, Any]:
    """Keyledger's answer about whoever calls."""
    tokens = envelope.findall(f"{{{_ENVELOPE}}}Header/{{{_SECURITY}}}Security/{{{_SECURITY}}}UsernameToken")
    if len(tokens) != 1:
        raise _Fault("wsse:InvalidSecurity", "present one UsernameToken")
    login = tokens[0].findtext(f"{{{_SECURITY}}}Username", "")
    password = tokens[0].find(f"{{{_SECURITY}}}Password")
    # Without a type it is PasswordText (section 3.1 of the profile).
    kind = (
        _TOKEN_PROFILE + "#PasswordText" if password is None else password.get("Type", _TOKEN_PROFILE + "#PasswordText")
    )
    if kind == _TOKEN_PROFILE + "#PasswordDigest":
        raise _Fault("wsse:UnsupportedSecurityToken", _DIGEST_REFUSED)
    if kind != _TOKEN_PROFILE + "#PasswordText" or password is None or not password.text or not login:
        raise _Fault("wsse:InvalidSecurityToken", "the UsernameToken takes a Username and a Password as PasswordText")
    try:
        answer = verify(login, password.text, "web_service", client_ip)
    except Unanswered:
        raise _Fault("soap:Server", "nobody can sign in now") from None
    if not answer["valid"]:
        raise _Fault("wsse:FailedAuthentication", "the UsernameToken is not good")
    return answer


def _body(environ: dict[str, Any]) -> ET.Element:
    """The envelope. A document type is refused (SOAP 1.1, section 3), and with it every entity it could define."""
    length = environ.get("CONTENT_LENGTH", "")
    if not (length.isascii() and length.isdecimal()) or int(length) > BODY_BYTES_MAX:
        raise _Fault("soap:Client", f"send a Content-Length, of {BODY_BYTES_MAX} bytes at most")
    try:
        text = environ["wsgi.input"].read(int(length)).decode()
        if "<!DOCTYPE" in text:
            raise _Fault("soap:Client", "a document type is not taken")
        return ET.fromstring(text)  # noqa: S314 - nothing is left of what could be done by an entity
    except (ET.ParseError, ValueError):
        raise _Fault("soap:Client", "this is not an envelope in UTF-8") from None


def _enveloped(told: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<soap:Envelope xmlns:soap="{_ENVELOPE}" xmlns:wsse="{_SECURITY}">'
        f"<soap:Body>{told}</soap:Body></soap:Envelope>"
    )


def _answered(start_response: Callable[..., Any], status: str, text: str) -> Iterable[bytes]:
    body = text.encode()
    start_response(status, [("Content-Type", "text/xml; charset=utf-8"), ("Content-Length", str(len(body)))])
    return (body,)


def _address(environ: dict[str, Any]) -> str:
    return escape(application_uri(environ).rstrip("/") + "/", {'"': "&quot;"})
