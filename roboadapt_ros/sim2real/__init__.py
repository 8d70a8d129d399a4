"""From what a task meant in training to what this rig does: mapping, gate, monitors."""
