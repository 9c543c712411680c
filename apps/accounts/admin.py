"""Which admin pages this app has; Django looks for them here."""

from django.contrib import admin
from django.contrib.auth.models import Group

from apps.accounts.admin_audit import AuditEntryAdmin
from apps.accounts.admin_keys import ApiKeyAdmin
from apps.accounts.admin_people import UserAdmin
from apps.accounts.admin_roles import MembershipAdmin
from apps.accounts.admin_usage import LimitAdmin, UsageAdmin

__all__ = ["ApiKeyAdmin", "AuditEntryAdmin", "LimitAdmin", "MembershipAdmin", "UsageAdmin", "UserAdmin"]

admin.site.unregister(Group)
