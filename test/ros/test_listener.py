"""Topics that are heard in a thread beside their node."""

import threading

from graph_watch import wait_for
import pytest
from rclpy.qos import QoSProfile
from roboadapt_ros.ros.listener import Listener
from std_msgs.msg import String

QOS = QoSProfile(depth=10)


@pytest.fixture
def listener(make_node):
    """Return what makes a listener of a node whose topic is remapped, and stops it."""
    made = []

    def make(callback, failed=lambda report: None):
        found = Listener(make_node('eye', '-r', 'seen:=other'), 'frames', failed)
        found.subscribe(String, 'seen', callback, QOS)
        found.start()
        made.append(found)
        return found

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def say(make_node):
    """Return what publishes a word once somebody listens."""
    publisher = make_node('mouth').create_publisher(String, 'other', QOS)

    def publish(word):
        wait_for(lambda: publisher.get_subscription_count() > 0, 'somebody to listen')
        publisher.publish(String(data=word))

    return publish


def test_messages_come_by_the_owners_remapped_name_in_another_thread(listener, say):
    heard = []
    listener(lambda message: heard.append((message.data, threading.current_thread().name)))
    say('hello')
    wait_for(lambda: heard, 'the message')
    assert heard == [('hello', 'frames')]


def test_nothing_is_heard_after_the_stop(listener, say):
    heard = []
    made = listener(lambda message: heard.append(message.data))
    say('one')
    wait_for(lambda: heard, 'the first message')
    made.stop()
    assert not made._thread.is_alive()


def test_a_callback_that_raises_is_reported_with_its_traceback(listener, say):
    reports = []

    def fail(message):
        raise ValueError(f'cannot read {message.data}')

    listener(fail, reports.append)
    say('x')
    wait_for(lambda: reports, 'the report')
    assert 'ValueError: cannot read x' in reports[0]
