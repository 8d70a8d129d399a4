"""A rig file becomes the list of processes; used by launch files and by the CLI alike."""
