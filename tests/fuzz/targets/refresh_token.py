"""A refresh token that is accepted is one that the gateway made; change one byte of it, and it is no more.

The first byte chooses: `t`, a token as it is; `s`, header and payload to be signed as the gateway signs its JWT form;
else the rest is a session, a place and a byte to put there.
"""

import hmac

from gateway.model.errors import UnknownRefreshToken
from gateway.tokens import base64url
from gateway.tokens.own_keys import Keyring, RefreshKey
from gateway.tokens.refresh_token import Format, looks_like_refresh_token, make_refresh_token, read_refresh_token
from tests.own_tokens import a_session

ISSUER = "https://gw.example"
KEYS = Keyring((), tuple(RefreshKey(kid, b"%032d" % kid, 0) for kid in (0, 7, 255)))
_DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def check(data: bytes) -> None:
    if data[:1] == b"t":
        _check_text(data[1:].decode("latin-1"))
    elif data[:1] == b"s":
        header, _, payload = data[1:].partition(b"\0")
        _check_text(_signed(header, payload))
    else:
        _check_made(data.ljust(31, b"\0"))


def _check_text(text: str) -> None:
    looks_like_refresh_token(text)
    try:
        token = read_refresh_token(text, KEYS, ISSUER)
    except UnknownRefreshToken:
        return
    assert looks_like_refresh_token(text)
    assert 0 <= token.generation < 2**32
    assert token.key is KEYS.refresh_key_named(token.key.kid)
    assert (len(base64url.decode(token.sid.encode())), len(token.mac)) == (16, 16)
    for salt in (b"", b"saltsalt"):
        session = a_session(sid=token.sid, generation=token.generation, salt=salt)
        if text.startswith("rt1."):
            made = make_refresh_token(session, token.key, ISSUER, "opaque")
            assert made[:-22] == text[:-22], "everything but the MAC is as it was made"
            assert token.is_genuine(salt) == (made == text)


def _signed(header: bytes, payload: bytes) -> str:
    signing_input = f"{base64url.encode(header)}.{base64url.encode(payload)}"
    key = hmac.digest(KEYS.refresh[0].secret, b"gateway refresh token jwt", "sha256")
    return f"{signing_input}.{base64url.encode(hmac.digest(key, signing_input.encode(), 'sha256'))}"


def _check_made(data: bytes) -> None:
    sid, generation, salt = base64url.encode(data[1:17]), int.from_bytes(data[17:21]), data[21:29]
    key = KEYS.refresh[data[0] % len(KEYS.refresh)]
    session = a_session(sid=sid, generation=generation, salt=salt, refresh_kid=key.kid)
    form: Format = "opaque" if data[0] & 128 else "jwt"
    text = make_refresh_token(session, key, ISSUER, form)
    token = read_refresh_token(text, KEYS, ISSUER)
    assert (token.sid, token.generation, token.key.kid) == (sid, generation, key.kid)
    assert token.is_genuine(salt)
    assert not token.is_genuine(salt + b"\0")
    assert looks_like_refresh_token(text)

    place = int.from_bytes(data[29:31]) % len(text)
    other = chr(data[30]) if data[0] & 64 else chr(_DIGITS[data[30] % 64])
    changed = text[:place] + other + text[place + 1 :]
    if changed == text:
        return
    try:
        forged = read_refresh_token(changed, KEYS, ISSUER)
    except UnknownRefreshToken:
        return
    assert form == "opaque", "a changed JWT was read"
    assert place >= len(text) - 22, "a change before the MAC went unseen"
    assert not forged.is_genuine(salt), "a changed token is genuine"
