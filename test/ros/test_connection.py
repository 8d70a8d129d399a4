"""A client's calls: an answer that is lost, and what may then be asked again."""

import pytest
from rclpy.task import Future
from roboadapt_ros.bringup import connection as module
from roboadapt_ros.errors import BringupError
from std_srvs.srv import Trigger


class Lossy:
    """A client whose first answers do not come."""

    def __init__(self, lost):
        self.lost, self.asked, self.removed = lost, 0, 0

    def wait_for_service(self, timeout_sec):
        return True

    def call_async(self, _):
        self.asked += 1
        future = Future()
        if self.asked > self.lost:
            future.set_result(self.asked)
        return future

    def remove_pending_request(self, _):
        self.removed += 1


@pytest.fixture
def call(connection, monkeypatch):
    """Return a call of a service whose first answer is lost, and its client."""
    monkeypatch.setattr(module, 'REPEAT_S', 0.1)
    client = Lossy(1)
    monkeypatch.setattr(connection, '_client', lambda *_: client)

    def made(**options):
        return connection.call(Trigger, 'lossy', Trigger.Request(), 0.5, **options)

    return made, client


def test_what_may_be_repeated_is_asked_again_until_it_is_answered(call):
    made, client = call
    assert made(repeat=True) == 2
    assert (client.asked, client.removed) == (2, 1)


def test_what_must_not_happen_twice_is_asked_once(call):
    made, client = call
    with pytest.raises(BringupError, match=r"'lossy' did not answer within 0\.5 s"):
        made()
    assert (client.asked, client.removed) == (1, 1)
