// client: anthropic for Go
// what: a plain and a streamed answer
// wants: ^You said: hello$
// wants: ^streamed: You said: hello$
package main

import (
	"context"
	"fmt"

	"github.com/anthropics/anthropic-sdk-go"
)

func main() {
	client := anthropic.NewClient()
	params := anthropic.MessageNewParams{
		Model: "claude-sonnet-4-5", MaxTokens: 99,
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("hello"))},
	}
	answer, err := client.Messages.New(context.Background(), params)
	if err != nil {
		panic(err)
	}
	fmt.Println(answer.Content[0].Text)
	stream, text := client.Messages.NewStreaming(context.Background(), params), ""
	for stream.Next() {
		text += stream.Current().Delta.Text
	}
	fmt.Println("streamed:", text)
}
