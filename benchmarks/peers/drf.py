"""Django REST framework with djangorestframework-api-key, as its documentation sets it up: verify a key.

The connection comes from the environment, as for the other peers, and is kept for the life of its thread.
"""

import json
import os
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            **json.loads(os.environ["DJANGO_DATABASE"]),
            "CONN_MAX_AGE": None,
        }
    },
    INSTALLED_APPS=["rest_framework", "rest_framework_api_key"],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework_api_key.permissions.HasAPIKey"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "UNAUTHENTICATED_USER": None,
    },
    ROOT_URLCONF=__name__,
    USE_TZ=True,
)
django.setup()

# These read the settings as they are imported.
from django.urls import path  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402
from rest_framework_api_key.models import APIKey  # noqa: E402


class Verify(APIView):
    """Answers whoever has a key; the framework refuses everybody else."""

    def get(self, request: Request) -> Response:
        """One small JSON answer."""
        return Response({"valid": True})


urlpatterns = [path("", Verify.as_view())]


def build() -> Any:
    """The application of one worker."""
    return get_wsgi_application()


def fill(count: int) -> list[str]:
    """That many keys in a schema that is empty, stored as the package's own code does; returns the keys."""
    call_command("migrate", verbosity=0)
    keys, rows = [], []
    for _ in range(count):
        row = APIKey(name="bench")
        keys.append(APIKey.objects.assign_key(row))
        rows.append(row)
    APIKey.objects.bulk_create(rows, batch_size=5_000)
    return keys


if __name__ == "__main__":  # a process of its own, as Django is configured once for each
    print("\n".join(fill(int(os.environ["KEYS"]))))
