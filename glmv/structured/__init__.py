"""JSON output and tool_choice for servers that have no field for them."""
