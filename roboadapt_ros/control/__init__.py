"""Safety of learned commands: limits, governor, watchdog, kinematics."""
