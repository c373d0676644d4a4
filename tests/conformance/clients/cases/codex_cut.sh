# client: Codex CLI
# what: a stream that breaks off in an event: the gateway's reason
# upstream: raw responses_cut.http
# wants: broke off its response
# never: stream closed before
codex exec --skip-git-repo-check --sandbox read-only -m gpt-5 \
  -c model_provider=gateway -c 'model_providers.gateway.name="gateway"' \
  -c "model_providers.gateway.base_url=\"$BASE/v1\"" -c 'model_providers.gateway.env_key="KEY"' \
  -c 'model_providers.gateway.wire_api="responses"' \
  -c 'model_providers.gateway.stream_max_retries=1' hello
