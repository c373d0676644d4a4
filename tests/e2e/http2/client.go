// net/http of Go, which chooses HTTP/2 by itself: see clients.py.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
)

var client *http.Client

func do(ctx context.Context, method, path, model, key string, body io.Reader) (*http.Response, error) {
	if body == nil && method == "POST" {
		body = strings.NewReader(fmt.Sprintf(`{"model":%q,"stream":%t,"messages":[]}`, model, strings.Contains(model, "events")))
	}
	request, _ := http.NewRequestWithContext(ctx, method, os.Getenv("BASE")+path, body)
	request.Header.Set("authorization", "Bearer "+key)
	request.Header.Set("content-type", "application/json")
	return client.Do(request)
}

func text(model string) string {
	response, err := do(context.Background(), "POST", "/v1/chat/completions", model, os.Getenv("KEY"), nil)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(response.Proto, " ", response.StatusCode, " ", strings.TrimSpace(string(read)))
}

func isWhole(text string) bool {
	return strings.HasPrefix(text, "HTTP/2.0 200 ") && (strings.HasSuffix(text, "}") || strings.HasSuffix(text, "[DONE]"))
}

func main() {
	certificates, _ := os.ReadFile(os.Getenv("CA"))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certificates)
	client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	background, key := context.Background(), os.Getenv("KEY")

	fmt.Println("plain", isWhole(text("gpt-4o-mini")), "stream", isWhole(text("gpt-mock-events-5-1")))
	head, _ := do(background, "HEAD", "/readyz", "", key, nil)
	fmt.Println("head", head.StatusCode)
	unsized, _ := do(background, "POST", "/v1/embeddings", "", "wrong", io.MultiReader(bytes.NewReader(make([]byte, 8<<20))))
	fmt.Println("unsized", unsized.StatusCode)

	var group sync.WaitGroup
	var lock sync.Mutex
	whole := 0
	for range 100 {
		group.Add(1)
		go func() {
			defer group.Done()
			if isWhole(text("gpt-4o-mini")) {
				lock.Lock()
				whole++
				lock.Unlock()
			}
		}()
	}
	group.Wait()
	fmt.Println("at once", whole)

	ctx, cancel := context.WithCancel(background)
	response, _ := do(ctx, "POST", "/v1/chat/completions", "gpt-leaves-mock-events-500-20", key, nil)
	response.Body.Read(make([]byte, 1))
	cancel()
	fmt.Println("left")

	over := make(chan bool)
	go func() {
		os.Stdin.Read(make([]byte, 1))
		close(over)
	}()
	lost := 0
	for _, model := range []string{"gpt-4o-mini", "gpt-mock-events-50-20"} {
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				select {
				case <-over:
					return
				default:
				}
				if found := text(model); !isWhole(found) {
					fmt.Println(found)
					lock.Lock()
					lost++
					lock.Unlock()
				}
			}
		}()
	}
	group.Wait()
	fmt.Println("lost", lost)
}
