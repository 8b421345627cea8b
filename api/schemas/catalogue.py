"""Catalogues over HTTP."""

from marshmallow import Schema, fields, validate

from api.schemas import Strict, Why
from ledger.catalogue import CUSTOM, NONE, PRESETS
from ledger.permissions import APIS_MAX
from ledger.values import (
    DESCRIPTION_CHARS_MAX,
    NAME_CHARS_MAX,
    SCOPES_MAX,
    AccessLevel,
    Action,
    CatalogueName,
    Mode,
)
from projections.history import VERSION_MAX


def _name(example: str) -> fields.String:
    return fields.String(
        required=True,
        validate=validate.Length(min=1, max=CatalogueName.CHARS_MAX),
        metadata={"description": "Small letters, digits, _ and dots.", "example": example},
    )


def _title(example: str) -> fields.String:
    return fields.String(
        required=True, validate=validate.Length(min=1, max=NAME_CHARS_MAX), metadata={"example": example}
    )


class PermissionSchema(Strict):
    """To view or to edit an entity: the scope `entity:action`."""

    action = fields.String(required=True, validate=validate.OneOf(list(Action)))
    title = _title("View customer")
    modes = fields.List(
        fields.String(validate=validate.OneOf(list(Mode))),
        required=True,
        validate=validate.Length(min=1, max=len(Mode)),
        metadata={"description": "The credentials that can be granted it.", "example": ["live", "test"]},
    )


class EntitySchema(Strict):
    """What permissions are about. Its name is unique in the catalogue."""

    name = _name("customer")
    title = _title("Customer")
    permissions = fields.List(
        fields.Nested(PermissionSchema), required=True, validate=validate.Length(min=1, max=len(Action))
    )


class GroupSchema(Strict):
    """Entities that are shown together."""

    name = _name("merchant")
    title = _title("Merchant")
    entities = fields.List(fields.Nested(EntitySchema), required=True, validate=validate.Length(min=1, max=SCOPES_MAX))


class ApiSchema(Strict):
    """An API that applications connect to, and the scopes that it takes."""

    name = _name("statements")
    title = _title("Statements")
    description = fields.String(
        required=True, validate=validate.Length(max=DESCRIPTION_CHARS_MAX), metadata={"example": "Account statements."}
    )
    scopes = fields.List(
        fields.String(validate=validate.Length(max=100)),
        required=True,
        validate=validate.Length(max=SCOPES_MAX),
        metadata={"example": ["payment_statement:view"]},
    )


class CatalogueIn(Why):
    """The whole catalogue."""

    groups = fields.List(fields.Nested(GroupSchema), required=True, validate=validate.Length(min=1, max=SCOPES_MAX))
    apis = fields.List(fields.Nested(ApiSchema), required=True, validate=validate.Length(max=APIS_MAX))


class RetirementIn(Why):
    """Scopes to take out of the catalogue."""

    scopes = fields.List(
        fields.String(validate=validate.Length(max=100)),
        required=True,
        validate=validate.Length(min=1, max=SCOPES_MAX),
        metadata={"example": ["payment_scheme:edit"]},
    )


class PreviewIn(Strict):
    """A grant to try: a preset or scopes, or full access."""

    mode = fields.String(required=True, validate=validate.OneOf(list(Mode)))
    access_level = fields.String(
        load_default=AccessLevel.FINE_GRAINED.value, validate=validate.OneOf(list(AccessLevel))
    )
    preset = fields.String(allow_none=True, validate=validate.OneOf(list(PRESETS)))
    scopes = fields.List(fields.String(validate=validate.Length(max=100)), validate=validate.Length(max=SCOPES_MAX))
    application_id = fields.UUID(allow_none=True, metadata={"description": "Whose APIs are the ceiling."})


# What the documentation shows.
_CUSTOMER = {
    "name": "customer",
    "title": "Customer",
    "permissions": [
        {"action": "view", "title": "View customer", "modes": ["live", "test"]},
        {"action": "edit", "title": "Edit customer", "modes": ["test"]},
    ],
}
SETTING = {
    "one group, one API": {
        "summary": "Customers can be viewed everywhere and edited in test; one API takes either",
        "value": {
            "groups": [{"name": "merchant", "title": "Merchant", "entities": [_CUSTOMER]}],
            "apis": [
                {
                    "name": "customers",
                    "title": "Customers",
                    "description": "Customer records.",
                    "scopes": ["customer:edit", "customer:view"],
                }
            ],
            "reason": "first version",
        },
    }
}
RETIRING = {
    "a permission": {
        "summary": "Payment schemes are no longer edited through the API",
        "value": {"scopes": ["payment_scheme:edit"], "reason": "moved to the back office"},
    }
}
PREVIEWING = {
    "a preset": {"summary": "What Read-only stands for", "value": {"mode": "live", "preset": "read_only"}},
    "scopes": {"summary": "What a choice is called", "value": {"mode": "live", "scopes": ["customer:view"]}},
}

LABEL_PER_GROUP = fields.Dict(
    keys=fields.String(),
    values=fields.String(validate=validate.OneOf([*PRESETS, CUSTOM, NONE])),
    required=True,
    metadata={"description": "The same for each permission group.", "example": {"merchant": "custom"}},
)
LABEL = fields.String(
    required=True,
    validate=validate.OneOf([*PRESETS, CUSTOM]),
    metadata={"description": "What the scopes are called in the catalogue that they were chosen from."},
)


class RetiredSchema(Schema):
    """What is no longer offered to live credentials, and to test ones."""

    live = fields.List(fields.String(), required=True)
    test = fields.List(fields.String(), required=True)


class CatalogueOut(Schema):
    """A version of an organisation's catalogue."""

    organisation_id = fields.UUID(required=True)
    version = fields.Integer(required=True)
    groups = fields.List(fields.Nested(GroupSchema), required=True)
    apis = fields.List(fields.Nested(ApiSchema), required=True)
    retired = fields.Nested(
        RetiredSchema,
        required=True,
        metadata={"description": "Scopes that were offered once and are no longer. They grant nothing."},
    )


class CatalogueQuery(Strict):
    """Which version; the present one where none is named."""

    version = fields.Integer(
        validate=validate.Range(min=1, max=VERSION_MAX), metadata={"description": "As it was at this version."}
    )


class CatalogueChangeOut(Schema):
    """How a version came about. The first was there from the beginning: nobody made it."""

    version = fields.Integer(required=True)
    at = fields.DateTime(required=True, allow_none=True)
    actor = fields.String(required=True, allow_none=True)
    via = fields.String(required=True, allow_none=True)
    reason = fields.String(required=True, allow_none=True)
    request_id = fields.String(required=True, allow_none=True)
    added = fields.List(
        fields.String(), required=True, metadata={"description": "Scopes that it offers and the one before did not."}
    )
    removed = fields.List(
        fields.String(), required=True, metadata={"description": "Scopes that the one before offered."}
    )


class CatalogueHistoryOut(Schema):
    """Every version of a catalogue, newest first."""

    data = fields.List(fields.Nested(CatalogueChangeOut), required=True)


class PreviewOut(Schema):
    """What a credential would be granted, and what that is called."""

    catalogue_version = fields.Integer(required=True)
    mode = fields.String(required=True, validate=validate.OneOf(list(Mode)))
    preset = LABEL
    presets = LABEL_PER_GROUP
    scopes = fields.List(fields.String(), required=True)
