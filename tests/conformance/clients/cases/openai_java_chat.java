// client: openai for Java
// what: a plain and a streamed answer
// wants: ^You said: hello$
// wants: ^streamed: You said: hello$
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.models.chat.completions.ChatCompletionCreateParams;

class Chat {
    public static void main(String[] words) {
        var client = OpenAIOkHttpClient.fromEnv();
        var ask = ChatCompletionCreateParams.builder().model("gpt-4o-mini").addUserMessage("hello").build();
        System.out.println(client.chat().completions().create(ask).choices().get(0).message().content().get());
        var text = new StringBuilder();
        try (var stream = client.chat().completions().createStreaming(ask)) {
            stream.stream().forEach(e -> e.choices().forEach(c -> c.delta().content().ifPresent(text::append)));
        }
        System.out.println("streamed: " + text);
        System.exit(0);
    }
}
