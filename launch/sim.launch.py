"""Start the simulated rig and its graph: `ros2 launch roboadapt_ros sim.launch.py`."""

from launch import LaunchDescription

from roboadapt_ros.bringup.launching import describe_rig


def generate_launch_description() -> LaunchDescription:
    return describe_rig('sim')
