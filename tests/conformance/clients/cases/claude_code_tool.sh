# client: Claude Code
# what: a turn in which it calls a tool of its own and sends the result
# wants: ^The tool said:
unset ANTHROPIC_API_KEY
ANTHROPIC_AUTH_TOKEN=$KEY claude -p "read it"
