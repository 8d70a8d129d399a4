"""Start the graph for a Franka arm: `ros2 launch roboadapt_ros franka.launch.py rig:=...`.

The arm's own drivers and controllers are started by their own launch files.
"""

from roboadapt_ros.bringup.launching import describe_rig

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    return describe_rig('fr3_franka_ros2')
