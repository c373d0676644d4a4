"""All pages of the dashboard but those to sign in."""

from engine.admin.pages.accounts import ACCOUNT_PAGES
from engine.admin.pages.audit import AUDIT_PAGES
from engine.admin.pages.configuration import CONFIGURATION_PAGES
from engine.admin.pages.keys import KEY_PAGES
from engine.admin.pages.people import PEOPLE_PAGES
from engine.admin.pages.providers import PROVIDER_PAGES
from engine.admin.pages.routes import ROUTE_PAGES
from engine.admin.pages.usage import USAGE_PAGES

DASHBOARD_PAGES = (
    *USAGE_PAGES,
    *PROVIDER_PAGES,
    *KEY_PAGES,
    *ROUTE_PAGES,
    *PEOPLE_PAGES,
    *AUDIT_PAGES,
    *CONFIGURATION_PAGES,
    *ACCOUNT_PAGES,
)
