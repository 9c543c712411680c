"""Who sees what in the admin panel: pages that follow the roles in knowledge bases instead of Django's model permissions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import NestedObjects, model_ngettext
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.exceptions import PermissionDenied
from django.db import DataError, models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from apps.accounts.keys import caller_of_user
from apps.accounts.models import ApiKey, User
from apps.accounts.permissions import Caller, Permission
from apps.accounts.refusals import in_words
from core.errors import QAError

SLUG_HELP = gettext_lazy("Its name in addresses and commands: Latin letters, digits, - and _. It cannot be changed later.")
_SHOWN_DELETIONS = 100
_NUL = "\x00"  # in no stored text, and PostgreSQL refuses to be asked for it


def caller_of(request: HttpRequest) -> Caller:
    """Whoever uses the panel, looked up once a request."""
    caller: Caller | None = getattr(request, "panel_caller", None)
    if caller is None:
        caller = caller_of_user(request.user)
        request.panel_caller = caller
    return caller


def kb_ids_where(caller: Caller, permission: Permission) -> list[int] | None:
    """The knowledge bases where the caller may do this; None where that is everywhere."""
    if caller.may(permission):
        return None
    return [kb_id for kb_id in caller.kb_roles if caller.may(permission, kb_id)]


def may_somewhere(caller: Caller, permission: Permission) -> bool:
    """Whether there is any knowledge base where the caller may do this."""
    return kb_ids_where(caller, permission) != []


def within(queryset: models.QuerySet[Any], caller: Caller, permission: Permission, lookup: str) -> models.QuerySet[Any]:
    """The rows whose knowledge base (its primary key lies at `lookup`) permits this to the caller."""
    ids = kb_ids_where(caller, permission)
    return queryset if ids is None else queryset.filter(**{f"{lookup}__in": ids})


def actor_names(actors: Iterable[str]) -> Mapping[str, str]:
    """What people and keys are called who are stored as `user:7` or `key:3`; two queries at most."""
    wanted = set(actors)
    users = [actor[5:] for actor in wanted if actor.startswith("user:")]
    keys = [actor[4:] for actor in wanted if actor.startswith("key:")]
    names = {f"user:{user.pk}": user.get_full_name() or user.get_username() for user in User.objects.filter(pk__in=users)} if users else {}
    names |= {f"key:{key.pk}": key.name for key in ApiKey.objects.filter(pk__in=keys)} if keys else {}
    return names


class PanelChangeList(ChangeList):
    """A list whose admin prepares the rows of a page together, so that no row asks the database.

    Parameters that no column can hold, such as a number of twenty digits, are told like those that no filter knows.
    """

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        if any(_NUL in value for name in request.GET for value in request.GET.getlist(name)):
            raise IncorrectLookupParameters("A NUL character is in no text.")
        try:
            super().__init__(request, *args, **kwargs)
        except (OverflowError, DataError) as error:
            raise IncorrectLookupParameters(error) from error

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        self.model_admin.prepare_rows(request, self.result_list)


class ScopedAdmin(ModelAdmin):
    """An admin page whose rows belong to knowledge bases; rows of others do not exist for the reader."""

    kb_lookup: ClassVar[str] = ""
    """Where a row's knowledge base is, as a lookup; empty: the page concerns the installation, not one knowledge base."""
    needs: ClassVar[Mapping[str, Permission | None]] = {
        "view": Permission.READ, "add": Permission.EDIT, "change": Permission.EDIT, "delete": Permission.EDIT,
    }  # fmt: skip
    """The permission behind each thing that can be done here; None: nobody may."""
    actor_field: ClassVar[str] = ""

    list_per_page = 50
    show_full_result_count = False
    show_facets = False
    list_fullwidth = True
    warn_unsaved_form = True

    def kb_ids_of(self, obj: Any) -> Sequence[int | None]:
        """The knowledge bases that a row belongs to."""
        value = obj
        for name in self.kb_lookup.split("__"):
            value = getattr(value, name) if value is not None else None
        return [value]

    def allows(self, request: HttpRequest, action: str, obj: Any = None) -> bool:
        """Whether the reader may do this to the row, or to any row where none is given."""
        permission = self.needs[action]
        caller = caller_of(request)
        if permission is None or not request.user.is_staff:
            return False
        if not self.kb_lookup:
            return caller.may(permission)
        if obj is None:
            return may_somewhere(caller, permission)
        return all(caller.may(permission, kb_id) for kb_id in self.kb_ids_of(obj)) if self.kb_ids_of(obj) else caller.may(permission)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.allows(request, "view")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.allows(request, "view", obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.allows(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.allows(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.allows(request, "delete", obj)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows, permission = super().get_queryset(request), self.needs["view"]
        return within(rows, caller_of(request), permission, self.kb_lookup) if self.kb_lookup and permission else rows

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        return None if _NUL in object_id else super().get_object(request, object_id, from_field)

    def formfield_for_dbfield(self, db_field: models.Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        """As usual; but beside a choice of a knowledge base nobody is offered to change or delete one."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "kb" and isinstance(getattr(field, "widget", None), RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        return field

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PanelChangeList

    def prepare_rows(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        """Reads what the rows of a page show beyond their own columns."""
        if self.actor_field:
            names = actor_names(getattr(row, self.actor_field) for row in rows)
            for row in rows:
                row.actor_label = names.get(getattr(row, self.actor_field), getattr(row, self.actor_field))

    def actor_of(self, obj: Any) -> str:
        """The name of whoever did it."""
        stored: str = getattr(obj, self.actor_field)
        return str(getattr(obj, "actor_label", None) or actor_names([stored]).get(stored, stored))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """What a deletion takes with it: the rows by name (the first hundred), everything below them as numbers."""
        objs = list(objs)
        refused = any(not self.has_delete_permission(request, obj) for obj in objs)
        collector = NestedObjects(using="default", origin=objs)
        collector.collect(objs)
        counts = {str(model_ngettext(model, 2)): len(rows) for model, rows in collector.model_objs.items()}
        names = [self.named(obj) for obj in objs[:_SHOWN_DELETIONS]]
        return names, counts, {str(self.opts.verbose_name)} if refused else set(), [str(obj) for obj in collector.protected]

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Each row as its own page deletes it, so that the audit trail names every one."""
        for row in queryset:
            self.delete_model(request, row)

    def named(self, obj: Any) -> str:
        """What a row is called on confirmation pages."""
        return str(obj)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return _or_refuse(request, lambda: super(ScopedAdmin, self).changelist_view(request, extra_context))

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return _or_refuse(request, lambda: super(ScopedAdmin, self).changeform_view(request, object_id, form_url, extra_context))

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return _or_refuse(request, lambda: super(ScopedAdmin, self).delete_view(request, object_id, extra_context))


class ReadOnlyAdmin(ScopedAdmin):
    """A page of what was recorded: nothing is added or changed by hand."""

    needs: ClassVar[Mapping[str, Permission | None]] = {"view": Permission.MANAGE, "add": None, "change": None, "delete": None}


class ReportAdmin(ReadOnlyAdmin):
    """Records whose page is a report of its own, `report_template`, in place of a form."""

    report_template: ClassVar[str]
    part_template: ClassVar[str] = ""
    """What an open page asks for again (`?part=1`) where it renews itself."""

    def report(self, request: HttpRequest, record: Any) -> dict[str, Any]:
        """What the template shows of a record, its `title` among it."""
        raise NotImplementedError

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The report; who may not see the record is told that there is none. Nobody adds one by hand."""
        if object_id is None:
            raise PermissionDenied
        record = self.get_object(request, object_id)
        if record is None or not self.has_view_permission(request, record):
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        context = {**self.admin_site.each_context(request), "opts": self.opts, "original": record}
        template = self.part_template if self.part_template and "part" in request.GET else self.report_template
        return TemplateResponse(request, template, {**context, **self.report(request, record)})


def _or_refuse(request: HttpRequest, view: Callable[[], HttpResponse]) -> HttpResponse:
    """The page; where a service refuses what a form sent, the page again with the reason. Never a 500."""
    try:
        return view()
    except QAError as error:
        if request.method != "POST":
            raise
        messages.error(request, in_words(error.message))
        return HttpResponseRedirect(request.get_full_path())
