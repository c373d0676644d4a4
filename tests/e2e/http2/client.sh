# curl with --http2: see clients.py.
ask() { curl --silent --show-error --no-progress-meter --http2 --cacert "$CA" --header "authorization: Bearer $KEY" --header "content-type: application/json" "$@"; }
chat() { ask "$BASE/v1/chat/completions" --data "{\"model\":\"$1\",\"stream\":$2,\"messages\":[]}" "${@:3}"; }

plain=$(chat gpt-4o-mini false --output /dev/null --write-out '%{http_version} %{http_code}')
echo "plain $([ "$plain" = '2 200' ] && echo true) stream $(chat gpt-mock-events-5-1 true | grep -q DONE && echo true)"
echo "head $(ask --head "$BASE/readyz" --output /dev/null --write-out '%{http_code}')"
echo "unsized $(head -c 8388608 /dev/zero | KEY=wrong ask --request POST --upload-file - "$BASE/v1/embeddings" --output /dev/null --write-out '%{http_code}')"
targets=()
for _ in $(seq 100); do targets+=("$BASE/readyz"); done
echo "at once $(ask --parallel --parallel-max 100 "${targets[@]}" --write-out '\n=%{http_code}\n' | grep -c '^=200')"
chat gpt-leaves-mock-events-500-20 true --max-time 1 > /dev/null 2>&1
echo left
lost=0
until read -r -t 0.01 _; do
  chat gpt-mock-events-50-20 true | grep -q DONE || lost=$((lost + 1))
  chat gpt-4o-mini false | grep -q '}' || lost=$((lost + 1))
done
echo "lost $lost"
