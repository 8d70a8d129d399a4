"""The layer between ROS and the core: messages, images, parameters, QoS, process main."""
