# client: Claude Code
# what: one answer of `claude -p`
# wants: You said:
unset ANTHROPIC_API_KEY
ANTHROPIC_AUTH_TOKEN=$KEY claude -p hello
