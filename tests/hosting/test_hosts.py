"""Under which names the page is served, and which pages may ask it."""

from __future__ import annotations

import pytest

from talkinghead.errors import OptionError
from talkinghead.hosting.hosts import Hosts, host_names, split_host
from talkinghead.webui.options import AppOptions


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("localhost", ("localhost", None)),
        ("LocalHost.:8960", ("localhost", 8960)),
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:8960", ("::1", 8960)),
        ("[0:0:0:0:0:0:0:1]", ("::1", None)),
        ("th.example.org", ("th.example.org", None)),
        *[(text, None) for text in (
            "", ".", ":80", "a:b", "a:80:80", "a:99999", "::1", "[::1", "[gg::]", "a b", "a/b", "anna@localhost", "a\n",
            "localhost#evil.org", "x" * 400, "localhost:²", "ｌocalhost", "http://localhost",
        )],
    ],
)  # fmt: skip
def test_hosts_are_split(text: str, found: object) -> None:
    assert split_host(text) == found


LOCAL = Hosts("127.0.0.1")
EVERYWHERE = Hosts("0.0.0.0", ["th.example.org"])


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1:8960", "[::1]:1", "LOCALHOST"])
def test_this_machine_is_known_everywhere(name: str) -> None:
    for hosts in (LOCAL, EVERYWHERE, Hosts("192.168.1.5"), Hosts("::")):
        assert hosts.knows(name)


@pytest.mark.parametrize(
    "name", ["evil.org", "localhost.evil.org", "127.0.0.1.evil.org", "evil.org:8960", "localhos", ""]
)
def test_other_names_are_not(name: str) -> None:
    for hosts in (LOCAL, EVERYWHERE, Hosts("192.168.1.5")):
        assert not hosts.knows(name)


def test_addresses_are_known_where_the_page_listens_on_them() -> None:
    assert not LOCAL.knows("192.168.1.5")
    assert not LOCAL.knows("10.0.0.1")
    assert Hosts("192.168.1.5").knows("192.168.1.5:8960")
    assert not Hosts("192.168.1.5").knows("192.168.1.6")
    assert EVERYWHERE.knows("192.168.1.5")
    assert EVERYWHERE.knows("[2001:db8::1]:80")
    assert EVERYWHERE.knows("th.example.org")


def test_names_may_be_added() -> None:
    hosts = Hosts("127.0.0.1")
    assert not hosts.knows("abc.gradio.live")
    hosts.add("abc.gradio.live")
    assert hosts.knows("abc.gradio.live")
    assert not hosts.knows("abd.gradio.live")


def test_names_are_an_option() -> None:
    assert host_names(" a.org, B.org.,[::1],::1,") == ("a.org", "b.org", "::1", "::1")
    assert host_names(None) == ()
    for wrong in ("a b", "a:80", "http://a", "*", "a,,[x]"):
        with pytest.raises(OptionError, match="no name of a host"):
            AppOptions(allow_host=wrong)


def refused(**headers: str) -> bool:
    """Whether a request that is not the opening of a page is refused; the Host is known."""
    given = {"host": ["localhost:8960"], **{name.replace("_", "-"): [value] for name, value in headers.items()}}
    return bool(LOCAL.refusal(given, looks=False))


@pytest.mark.parametrize(
    "origin",
    ["http://evil.org", "http://localhost", "http://localhost:8961", "https://localhost.evil.org:8960", "null", "",
     "http://localhost:8960.evil.org", "file://", "http://127.0.0.1:8960", "http://[::1]:8960"],
)  # fmt: skip
def test_other_origins_are_refused(origin: str) -> None:
    assert refused(origin=origin)


@pytest.mark.parametrize("origin", ["http://localhost:8960", "https://LOCALHOST:8960"])
def test_its_own_origin_is_not(origin: str) -> None:
    assert not refused(origin=origin)


def test_a_proxy_may_tell_its_name_if_that_is_known() -> None:
    hosts = Hosts("127.0.0.1", ["th.example.org"])
    there = {"host": ["127.0.0.1:8960"], "x-forwarded-host": ["th.example.org"], "origin": ["https://th.example.org"]}
    assert hosts.refusal(there, looks=False) == ""
    assert refused(x_forwarded_host="evil.org")
    assert refused(x_forwarded_host="localhost, evil.org")
    assert refused(x_gradio_server="http://evil.org")
    for name in ("host", "origin", "x-forwarded-host"):
        assert hosts.refusal({**there, name: [*there[name], "localhost"]}, looks=False)
    assert hosts.refusal({}, looks=True)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_other_pages_put_into_themselves_is_refused(site: str) -> None:
    headers = {"host": ["localhost"], "sec-fetch-site": [site]}
    assert LOCAL.refusal(headers, looks=False)
    assert LOCAL.refusal(headers, looks=True) == ""  # a link leads here
    assert not refused(sec_fetch_site="same-origin")
    assert not refused(sec_fetch_site="none")
