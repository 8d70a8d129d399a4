"""A process that hears a flood and a few messages that matter; prints when each of these came.

    python lossy_reader.py TOPICS

It hears /topic0, /topic1, ... (std_msgs/String), and the flood on /flood.
"""

import sys
import time

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from roboadapt_ros.ros.qos import STATUS
from std_msgs.msg import String, UInt8MultiArray

FLOOD = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""A state of a robot: only the newest counts."""


def main():
    """Listen until the process is ended."""
    rclpy.init()
    node = Node('lossy_reader')
    heard = set()

    def hear(topic):
        def note(message):
            if (topic, message.data) not in heard:
                heard.add((topic, message.data))
                sys.stdout.write(f'{topic} {message.data} {time.time()}\n')
                sys.stdout.flush()

        return note

    node.create_subscription(UInt8MultiArray, '/flood', lambda _: None, FLOOD)
    for number in range(int(sys.argv[1])):
        node.create_subscription(String, f'/topic{number}', hear(number), STATUS)
    rclpy.spin(node)


if __name__ == '__main__':
    main()
