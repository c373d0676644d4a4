#!/usr/bin/env bash
# Runs the hook of .pre-commit-hooks.yaml as somebody else's repository would: the real pre-commit, this commit.
# It needs git and a package registry, so it is no part of `make test`.
set -euo pipefail
here=$(git -C "$(dirname "${BASH_SOURCE[0]}")" rev-parse --show-toplevel)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PRE_COMMIT_HOME=$work/cache GIT_CONFIG_GLOBAL=/dev/null
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pre-commit

git init --quiet "$work/theirs"
cd "$work/theirs"
git config user.name tests
git config user.email tests@example.org
cp "$here"/tests/unit/config/minimal/*.yaml .
cat > .pre-commit-config.yaml <<END
repos:
  - repo: $here
    rev: $(git -C "$here" rev-parse HEAD)
    hooks:
      - id: engine-check
END
"$work/venv/bin/pre-commit" install > /dev/null
git add .
git commit --quiet --message "a configuration that is right"
echo "taken: a configuration that is right"

sed -i.old 's/provider: openai}/provider: opena}/' routes.yaml
git add routes.yaml
if git commit --quiet --message "a typo" > "$work/said" 2>&1; then
    echo "the hook let a typo through"
    exit 1
fi
grep -q 'routes.yaml:10:30' "$work/said"
grep -q 'did you mean `openai`?' "$work/said"
echo "refused: a typo, with its place and a suggestion"

git checkout --quiet HEAD -- routes.yaml
echo notes > README.md
git add README.md
git commit --quiet --message "something else" > "$work/said" 2>&1
grep -q Skipped "$work/said"
echo "skipped: a commit that touches no configuration"
echo "hooks: ok"
