from __future__ import annotations

import pytest

from connectors.alert_index import Found
from connectors.alert_query import AlertQuery
from deploy.demo.watch import Watch
from schemas.alert import Alert
from schemas.errors import ConnectionError_
from tests.alert_samples import make_alert

ONE = (("kestrel-bank", 0, 1, 3), ("cobalt-bank", 1, 2, 4))
THREE = (*ONE, ("harbor-securities", 2, 3, 5))


class FakeIndex:
    def __init__(self, *alerts: Alert) -> None:
        self.alerts = list(alerts)
        self.away = False

    def find(self, query: AlertQuery) -> Found:
        if self.away:
            raise ConnectionError_("elasticsearch", "no answer")
        return Found(self.alerts, len(self.alerts))


def test_an_alert_is_news_once_and_again_when_it_spreads() -> None:
    index = FakeIndex()
    watch = Watch(index)
    index.alerts = [make_alert(spread=ONE)]
    (news,) = watch.look()
    assert news.fresh
    assert list(watch.look()) == []
    index.alerts = [make_alert(spread=THREE)]
    (news,) = watch.look()
    assert (news.fresh, news.joined) == (False, ("harbor-securities",))


def test_what_was_there_before_is_no_news() -> None:
    watch = Watch(FakeIndex(make_alert(spread=ONE)))
    assert list(watch.look()) == []
    assert watch.grown == []


def test_a_short_outage_is_waited_out() -> None:
    index = FakeIndex()
    watch = Watch(index)
    index.away = True
    assert list(watch.look()) == []
    index.away, index.alerts = False, [make_alert(spread=ONE)]
    assert len(list(watch.look())) == 1


def test_a_long_outage_is_told() -> None:
    index = FakeIndex()
    watch = Watch(index)
    index.away = True
    for _ in range(39):
        assert list(watch.look()) == []
    with pytest.raises(ConnectionError_):
        list(watch.look())
