"""Start the simulated rig and its graph: `ros2 launch roboadapt_ros sim.launch.py`."""

from roboadapt_ros.bringup.launching import describe_rig

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    return describe_rig('sim')
