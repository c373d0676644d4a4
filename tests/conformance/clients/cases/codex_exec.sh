# client: Codex CLI
# what: one turn of `codex exec`, with the file of docs/agents.md
# wants: You said: hello
mkdir ~/.codex
cat > ~/.codex/config.toml <<END
model_provider = "orqen"

[model_providers.orqen]
name = "orqen"
base_url = "$BASE/v1"
env_key = "ORQEN_KEY"
wire_api = "responses"
END
export ORQEN_KEY=$KEY
codex exec --skip-git-repo-check --sandbox read-only -m gpt-5 hello
