"""Which addresses may be reached on somebody's word."""

from __future__ import annotations

import ipaddress

import pytest

from core.errors import ModelUnavailable
from core.net import AddressRefused, Target, check_redirect, check_url, is_public, parse_private_hosts, resolve

NOBODY = parse_private_hosts("")
OWN = parse_private_hosts("vllm.internal, 10.1.0.0/16, ::1, localhost")


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255",
        "240.0.0.1", "192.0.2.1", "::", "::1", "fe80::1", "fec0::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)  # fmt: skip
def test_everything_else_is_not(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/", "file:///etc/passwd", "//example.com", "example.com", "https://", "https://user:pw@example.com/", "https://user@example.com",
        "https://example.com:99999/", "https://example.com:x/", "http://127.0.0.1/", "http://[::1]/", "http://[::ffff:10.0.0.1]/", "http://169.254.169.254/latest",
        "https://exam ple.com/", "https://example.com/\nHost: x", "https://example.com\\@127.0.0.1/", "http://[fe80::1%25eth0]/", "https://" + "a" * 2000, "http://..",
    ],
)  # fmt: skip
def test_what_is_no_plain_public_address_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        check_url(url, NOBODY)


def test_a_good_url_in_its_parts() -> None:
    assert check_url("https://Example.com./a b?q=年".replace(" ", "%20"), NOBODY) == Target(
        "https", "example.com", 443, "/a%20b?q=%E5%B9%B4"
    )
    assert check_url("http://bücher.example:8080", NOBODY) == Target("http", "xn--bcher-kva.example", 8080, "/")


def test_without_tls_only_listed_hosts_are_reached() -> None:
    assert check_url("http://vllm.internal:8000/v1", OWN, needs_tls=True).port == 8000
    assert check_url("http://10.1.2.3/v1", OWN, needs_tls=True).host == "10.1.2.3"
    with pytest.raises(AddressRefused, match="https"):
        check_url("http://example.com/v1", OWN, needs_tls=True)


def test_every_address_of_a_name_is_checked() -> None:
    assert resolve("example.com", 443, NOBODY, lambda *_: ["8.8.8.8", "8.8.8.8", "1.1.1.1"]) == ["8.8.8.8", "1.1.1.1"]
    with pytest.raises(AddressRefused, match="example.com"):
        resolve("example.com", 443, NOBODY, lambda *_: ["8.8.8.8", "10.0.0.1"])


def test_a_listed_name_may_have_any_address_and_a_listed_network_any_name() -> None:
    assert resolve("vllm.internal", 80, OWN, lambda *_: ["10.9.9.9"]) == ["10.9.9.9"]
    assert resolve("other.internal", 80, OWN, lambda *_: ["10.1.9.9"]) == ["10.1.9.9"]
    assert resolve("mapped.internal", 80, OWN, lambda *_: ["::ffff:10.1.9.9"]) == ["::ffff:10.1.9.9"]
    with pytest.raises(AddressRefused):
        resolve("other.internal", 80, OWN, lambda *_: ["10.2.0.1"])


def test_short_and_odd_forms_of_an_address_are_seen_through() -> None:
    for host in ("127.1", "0x7f000001", "2130706433"):
        with pytest.raises((AddressRefused, ModelUnavailable)):
            resolve(host, 80, NOBODY)


def test_an_unknown_name_is_unavailable() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    with pytest.raises(ModelUnavailable, match=r"nowhere\.example"):
        resolve("nowhere.example", 80, NOBODY, unknown)


def test_a_redirect_is_checked_like_any_address() -> None:
    assert check_redirect("https://example.com/a/b", "../c?d=1", NOBODY) == "https://example.com/c?d=1"
    for location in (
        "http://127.0.0.1/",
        "//10.0.0.1/",
        "http://example.com/",
        "file:///etc/passwd",
        "http://[",
        "//[::1",
        "https://a@example.com/",
    ):
        with pytest.raises(AddressRefused):
            check_redirect("https://example.com/a", location, NOBODY)


@pytest.mark.parametrize("text", ["10.0.0.0/99", "http://vllm", "vllm:8000", "a b"])
def test_a_bad_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no host name"):
        parse_private_hosts(text)
