"""JSON output and tool_choice for servers without a field for them: prompt, check, and one repair turn."""
