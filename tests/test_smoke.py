def test_x(http, mock, served):
    r = http.post("/v1/embeddings", json={"model": "groq/openai/gpt-x", "input": "hi"})
    assert r.status_code == 200, r.text
    print(r.headers, served.record(r.headers["x-engine-request-id"]), served.rss_kib())
