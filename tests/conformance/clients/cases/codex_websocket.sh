# client: Codex CLI
# what: a provider that it takes for one with WebSockets: one handshake, then POST at once
# wants: You said: hello
# wants: ^1 handshake$
# wants: ^took ([0-9]|1[0-9])$
# never: Reconnecting|retrying
# requests: 3
codex exec --skip-git-repo-check --sandbox read-only -m gpt-5 \
  -c model_provider=gateway -c 'model_providers.gateway.name="gateway"' \
  -c "model_providers.gateway.base_url=\"$BASE/v1\"" -c 'model_providers.gateway.env_key="KEY"' \
  -c 'model_providers.gateway.wire_api="responses"' -c model_providers.gateway.supports_websockets=true hello
took=$SECONDS
sleep 0.5
echo "$(grep -c upgrade_not_offered "$LOG") handshake"
echo "took $took"
