"""What the simulated rig's controllers take: the other end of `ros.outputs`."""
