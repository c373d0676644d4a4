// client: net/http of Go
// what: 413 to 40 MB and 401 to 8 MB reach a client that is still sending
// wants: ^413 413 413 413 413 413 413 413$
// wants: ^401 401 401 401 401 401 401 401$
package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
)

func status(key string, megabytes int) string {
	body := bytes.NewReader(make([]byte, megabytes<<20))
	request, _ := http.NewRequest("POST", os.Getenv("BASE")+"/v1/embeddings", body)
	request.Header.Set("authorization", "Bearer "+key)
	request.Header.Set("content-type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	answer.Body.Close()
	return fmt.Sprint(answer.StatusCode)
}

func main() {
	for _, try := range []struct {
		key       string
		megabytes int
	}{{os.Getenv("KEY"), 40}, {"wrong", 8}} {
		seen := ""
		for range 8 {
			seen += " " + status(try.key, try.megabytes)
		}
		fmt.Println(seen[1:])
	}
}
