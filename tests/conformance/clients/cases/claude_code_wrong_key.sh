# client: Claude Code
# what: a wrong key is told at once, and not tried again
# wants: API key|authentication|401
# wants: ^took [0-9]$|^took 1[0-9]$
# requests: 6
# seconds: 40
unset ANTHROPIC_API_KEY
ANTHROPIC_AUTH_TOKEN=sk-wrong claude -p hello || echo "ended with $?"
echo "took $SECONDS"
