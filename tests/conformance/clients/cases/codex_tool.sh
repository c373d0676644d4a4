# client: Codex CLI
# what: a turn in which it calls a tool of its own and sends the result
# wants: ^The tool said:
config() { codex exec --skip-git-repo-check --sandbox read-only -m gpt-5 \
  -c model_provider=gateway -c 'model_providers.gateway.name="gateway"' \
  -c "model_providers.gateway.base_url=\"$BASE/v1\"" -c 'model_providers.gateway.env_key="KEY"' \
  -c 'model_providers.gateway.wire_api="responses"' "$@"; }
config "please update the plan"
