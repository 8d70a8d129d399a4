"""What our Fast DDS profiles make of a message that found no room: it is sent again, at once."""

from contextlib import contextmanager
import os
from pathlib import Path
import queue
import signal
import subprocess
import sys
import threading
import time

from graph_watch import wait_for
from rclpy.qos import QoSProfile, ReliabilityPolicy
from roboadapt_ros.bringup.connection import Connection
from roboadapt_ros.bringup.environment import (
    find_free_domain,
    process_environment,
    without_images,
)
from roboadapt_ros.ros.qos import STATUS
from std_msgs.msg import String, UInt8MultiArray

READER = Path(__file__).parents[1] / 'lossy_reader.py'
TOPICS = 4
FLOOD = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
FLOOD_BYTES, MESSAGE_BYTES = 24 * 2**20, 8192
"""Several times what a socket has room for (`receiveBufferSize`), with what Linux adds."""


@contextmanager
def reader(domain):
    """Start the process that listens; give its process and the lines that it prints."""
    environment = process_environment(domain)
    environment |= without_images(environment)
    process = subprocess.Popen(
        [sys.executable, str(READER), str(TOPICS)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    lines = queue.Queue()

    def read():
        for line in process.stdout:
            lines.put(line.split())

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield process, lines
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.kill()
        process.wait()
        thread.join()


def tell(publishers, text):
    for publisher in publishers:
        publisher.publish(String(data=text))


def test_a_message_that_found_no_room_comes_when_there_is_some():
    """The last of its topic, too, of which no later one tells; by itself Fast DDS waits 3 s."""
    domain = find_free_domain()
    with reader(domain) as (process, lines), Connection(domain_id=domain) as connection:
        node = connection._node
        flood = node.create_publisher(UInt8MultiArray, '/flood', FLOOD)
        made = [node.create_publisher(String, f'/topic{n}', STATUS) for n in range(TOPICS)]
        wait_for(lambda: all(p.get_subscription_count() for p in [flood, *made]), 'reader', 20.0)
        wait_for(lambda: tell(made, 'first') or lines.qsize() == TOPICS, 'first messages')
        for _ in made:
            lines.get()
        for attempt in range(3):
            os.kill(process.pid, signal.SIGSTOP)
            large = UInt8MultiArray(data=bytes(MESSAGE_BYTES))
            for _ in range(FLOOD_BYTES // MESSAGE_BYTES):
                flood.publish(large)
            tell(made, f'lost_{attempt}')
            goes_on_s = time.time()
            os.kill(process.pid, signal.SIGCONT)
            late = {}
            for _ in made:
                topic, text, came_s = lines.get(timeout=10.0)
                assert text == f'lost_{attempt}'
                late[topic] = float(came_s) - goes_on_s
            assert max(late.values()) < 0.7, late
