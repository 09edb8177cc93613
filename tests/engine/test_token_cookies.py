from dataclasses import replace

from gateway.engine.token_cookies import AccessCookie, cookie_line, refresh_age
from gateway.model.session import Issued
from tests.minting import NOW
from tests.own_tokens import a_session

ISSUED = Issued("a.b.c", "refresh", 600, "", a_session())


def test_a_cookie_is_out_of_reach_of_scripts_other_hosts_and_plain_http() -> None:
    """C116"""
    line = AccessCookie("__Host-access", "strict").line(ISSUED, NOW)
    assert line == "__Host-access=a.b.c; HttpOnly; Max-Age=600; Path=/; SameSite=Strict; Secure"
    line = cookie_line("r", "x", max_age=5, path="/auth", same_site="lax")
    assert line == "r=x; HttpOnly; Max-Age=5; Path=/auth; SameSite=Lax; Secure"


def test_an_access_token_that_is_wanted_when_it_has_expired_is_kept_as_long_as_the_refresh_token() -> None:
    assert f"; Max-Age={30 * 86400 - 10};" in AccessCookie("a", "none", outlives_token=True).line(ISSUED, NOW + 10.9)


def test_what_is_over_is_kept_no_longer() -> None:
    assert refresh_age(ISSUED, NOW + 30 * 86400) == 0


def test_a_session_without_absolute_limit_is_kept_until_it_is_idle() -> None:
    endless = replace(ISSUED, session=ISSUED.session._replace(absolute_expires_at=None))
    assert refresh_age(endless, NOW) == 7 * 86400
