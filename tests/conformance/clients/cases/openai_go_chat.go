// client: openai for Go
// what: a plain and a streamed answer
// wants: ^You said: hello$
// wants: ^streamed: You said: hello$
package main

import (
	"context"
	"fmt"

	"github.com/openai/openai-go/v3"
)

func main() {
	client, ask := openai.NewClient(), []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hello")}
	params := openai.ChatCompletionNewParams{Model: "gpt-4o-mini", Messages: ask}
	answer, err := client.Chat.Completions.New(context.Background(), params)
	if err != nil {
		panic(err)
	}
	fmt.Println(answer.Choices[0].Message.Content)
	stream, text := client.Chat.Completions.NewStreaming(context.Background(), params), ""
	for stream.Next() {
		text += stream.Current().Choices[0].Delta.Content
	}
	fmt.Println("streamed:", text)
}
