"""The `roboadapt` command: one module per subcommand, the only place that prints."""
