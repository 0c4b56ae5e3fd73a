"""What looks like a credential is shown to nobody."""

import pytest

from shared.domain.change import Edit, Patch
from shared.domain.path import ABSENT, Present
from shared.domain.redaction import REDACTED, shown, shown_line
from shared.domain.runbook import describe
from shared.testing.builders import a_ref


def test_the_diff_that_people_read_shows_no_password() -> None:
    """Neither the one that is, nor the one that is put back; what is no secret is shown."""
    env = "/spec/template/spec/containers/main/env"
    edits = (
        Edit(path=f"{env}/STORE_PASSWORD/value", before=Present(value="new"), after=Present(value="old")),
        Edit(path=f"{env}/LEVEL/value", before=Present(value="info"), after=ABSENT),
    )
    assert describe(Patch(ref=a_ref(), edits=edits)) == [
        f"Deployment/shop/cart {env}/STORE_PASSWORD/value: {REDACTED} -> {REDACTED}",
        f"Deployment/shop/cart {env}/LEVEL/value: info -> absent",
    ]


def test_a_list_of_variables_shows_those_that_are_no_secrets() -> None:
    """As a whole list is one value where names were added."""
    said = shown("/env", [{"name": "API_KEY", "value": "abc"}, {"name": "LEVEL", "value": "info"}])
    assert "abc" not in said
    assert "info" in said


@pytest.mark.parametrize(
    "line",
    [
        "dial postgres://shop:hunter2@store:5432/db: refused",
        "login failed password=hunter2 user=shop",
        '{"msg":"no","db_password":"hunter2"}',
        "token: 'hunter2', retrying",
        "Authorization: Bearer hunter2hunter2",
        "client_secret = hunter2&x=1",
    ],
)
def test_a_line_of_a_log_shows_no_password(line: str) -> None:
    """In its addresses, its headers, or behind a name that says so."""
    said = shown_line(line)
    assert "hunter2" not in said
    assert REDACTED in said


def test_a_line_without_one_is_left_as_it_is() -> None:
    """Words about passwords are not passwords."""
    line = 'ERROR http://store:8080 answered 401 Unauthorized: wrong user or password for "shop"'
    assert shown_line(line) == line
