"""How often may somebody guess a password? The panel's sign-in form, with a limit for each name and address."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from unfold.forms import AuthenticationForm

from apps.accounts.rates import forget, take
from core.errors import RateLimited

TRIES = 10
REFILL_PER_S = 1 / 30


class LimitedSignInForm(AuthenticationForm):
    """Ten tries at once, then one every half minute. A name is limited at one address only, so that a stranger locks nobody out."""

    def clean(self) -> dict[str, Any]:
        """Counts the try before the password is looked at: guessing faster tells nothing. A right password forgets the wrong ones."""
        name = str(self.cleaned_data.get("username", "")).casefold()
        address = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
        tries = f"sign-in {address} {name}"
        try:
            take(tries, rate_per_s=REFILL_PER_S, burst=TRIES)
        except RateLimited as error:
            raise ValidationError(_("Too many attempts. Try again in half a minute."), code="rate_limited") from error
        cleaned: dict[str, Any] = super().clean()
        forget(tries)
        return cleaned
