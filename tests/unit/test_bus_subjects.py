"""Names on the bus: no token breaks out of its place."""

from hypothesis import given
from hypothesis import strategies as st

from shared.bus import subjects
from shared.domain.cluster import Kind, Ref
from shared.domain.ids import ClusterName, CorrelationKey, Fingerprint, IncidentId

ANYTHING = st.text(max_size=80)


def _is_one_subject(subject: str, tokens: int) -> bool:
    return len(subject.split(".")) == tokens and all(part and part.isascii() for part in subject.split("."))


@given(ANYTHING, ANYTHING)
def test_whatever_it_is_called_it_is_one_token(one: str, other: str) -> None:
    """Dots, stars, spaces, newlines and any script: the subject has its number of tokens and no wildcard."""
    ref = Ref(cluster=ClusterName(one), kind=Kind.DEPLOYMENT, namespace=other, name=one)
    made = {
        subjects.ledger(IncidentId(one), other): 4,
        subjects.open_key(CorrelationKey(one)): 3,
        subjects.lock(ref): 3,
        subjects.alert(ClusterName(one), Fingerprint(other)): 4,
        subjects.fact(IncidentId(one), other): 4,
    }
    for subject, tokens in made.items():
        assert _is_one_subject(subject, tokens)
        assert not set(subject) & set("*> \t\r\n\0")


@given(ANYTHING, ANYTHING)
def test_two_names_are_two_tokens(one: str, other: str) -> None:
    """What differs stays different."""
    assert (subjects.token(one) == subjects.token(other)) == (one == other)


def test_plain_names_stay_readable() -> None:
    """What is safe is not hashed."""
    assert subjects.ledger(IncidentId("inc-1"), "Opened") == "primum.ledger.inc-1.Opened"
    assert subjects.ledger_of(IncidentId("inc-1")) == "primum.ledger.inc-1.>"
