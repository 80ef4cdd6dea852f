"""Who can be given an alert: people with an account, and those who come in through the OpenID provider."""

from __future__ import annotations

from dashboard.oidc_pages import AUDITED_AS
from dashboard.rights import RIGHTS
from dashboard.site import Site


def colleagues(site: Site) -> list[str]:
    """Their user names. The provider's people have no account: those are known who came in lately, from the audit.

    Raises:
        ConnectionError_: the index is away.
    """
    names = {account.name for account in site.accounts.all() if account.may("triage")}
    if site.oidc is not None:
        names |= site.audit.logged_in(AUDITED_AS, [role for role in site.oidc.roles if "triage" in RIGHTS[role]])
    return sorted(names)
