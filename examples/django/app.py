"""A service of two operations, each for a scope of its own, in one file: `granian --interface wsgi app:app`."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

# No middleware against forged requests (CSRF): without cookies there is nothing that they could ride on.
settings.configure(
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    MIDDLEWARE=["guard.Guard"],
    ROOT_URLCONF=__name__,
)

from guard import public, requires  # noqa: E402 - after the settings, as whatever is of the project


@requires("customer:view")
@require_GET
def list_customers(request: HttpRequest) -> JsonResponse:
    """Whoever may look."""
    return JsonResponse({"customers": [], "asked_by": str(request.credential.credential_id)})


@requires("customer:view", "customer:edit")
@require_POST
def edit_customers(request: HttpRequest) -> JsonResponse:
    """Whoever may look and edit."""
    return JsonResponse({"edited": True, "asked_by": str(request.credential.credential_id)})


@public
@require_GET
def health(_request: HttpRequest) -> JsonResponse:
    """Everybody."""
    return JsonResponse({"status": "ok"})


urlpatterns = [
    path("customers", list_customers),
    path("customers/edit", edit_customers),
    path("healthz", health),
]
app = get_wsgi_application()
