# client: Claude Code
# what: one answer of `claude -p`, with the lines of docs/agents.md
# wants: You said:
unset ANTHROPIC_API_KEY ANTHROPIC_BASE_URL
export ANTHROPIC_BASE_URL=$BASE
export ANTHROPIC_AUTH_TOKEN=$KEY
claude -p hello
