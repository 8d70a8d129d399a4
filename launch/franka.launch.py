"""Start the graph for a Franka arm: `ros2 launch roboadapt_ros franka.launch.py rig:=...`.

With `robot_ip:=` Franka's own launch file, which starts the driver of the arm, is included; else
the driver is started elsewhere. `--show-args` describes every argument.
"""

from roboadapt_ros.bringup.launching import describe_rig

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    return describe_rig('fr3_franka_ros2', has_driver=True)
