"""The symptom is read from the alert's own expression."""

from shared.domain.errors import MetricsUnavailable
from shared.domain.health import Symptom
from shared.measure.symptom import conclude, read_symptom, still_matching
from shared.ports.metrics import Series
from shared.testing.builders import T0, a_reading, an_alert


def series(value: float = 1.0, **labels: str) -> Series:
    return Series(labels=labels, value=value, at=T0)


class Answers:
    """A Metrics port that gives one answer, or none."""

    def __init__(self, *answer: Series, fails: bool = False) -> None:
        self.answer, self.fails, self.asked = answer, fails, list[str]()

    async def query(self, expression: str) -> tuple[Series, ...]:
        self.asked.append(expression)
        if self.fails:
            raise MetricsUnavailable("it did not answer")
        return self.answer


def test_a_series_matches_the_alert_that_carries_its_labels() -> None:
    """The alert has them and its rule's own beside."""
    alert = an_alert(service="cart", route="add")
    mine, other = series(namespace="shop", service="cart", route="add"), series(namespace="shop", service="pay")
    assert still_matching([alert], [mine, other]) == [mine]


async def test_no_matching_series_means_that_the_symptom_is_gone() -> None:
    """An empty answer is an answer."""
    reading = await read_symptom([an_alert()], Answers())
    assert reading.symptom is Symptom.GONE


async def test_a_failed_query_is_never_gone() -> None:
    """Not measured is unknown."""
    reading = await read_symptom([an_alert()], Answers(fails=True))
    assert reading.symptom is Symptom.UNKNOWN


async def test_without_prometheus_the_symptom_is_unknown() -> None:
    """And it says why."""
    reading = await read_symptom([an_alert()], None)
    assert reading.reason == "no Prometheus is configured"


async def test_each_expression_is_asked_once() -> None:
    """Hundreds of alerts of one rule cost one query."""
    metrics = Answers()
    await read_symptom([an_alert(fingerprint=str(n), route=str(n)) for n in range(300)], metrics)
    assert metrics.asked == ["up == 0"]


def test_fewer_matching_series_recede() -> None:
    """It leaves, though it is not gone."""
    before = a_reading().but(firing=10, level=10.0)
    assert conclude([series()] * 5, before).symptom is Symptom.RECEDING


def test_as_many_matching_series_are_present() -> None:
    """A little less is noise."""
    before = a_reading().but(firing=10, level=10.0)
    assert conclude([series()] * 9, before).symptom is Symptom.PRESENT


def test_what_has_no_level_does_not_recede_by_it() -> None:
    """`up == 0` is worth 0 as long as it is so; taken for a fall, it would be waited for for ever."""
    before = a_reading().but(firing=1, level=0.0)
    assert conclude([series(value=0.0)], before).symptom is Symptom.PRESENT
