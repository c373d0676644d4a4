// client: langchain4j
// what: the token count estimator of Anthropic
// wants: ^[1-9]\d*$
// requests: 1
import dev.langchain4j.data.message.UserMessage;
import dev.langchain4j.model.anthropic.AnthropicTokenCountEstimator;
import java.util.List;

class Count {
    public static void main(String[] words) {
        var estimator = AnthropicTokenCountEstimator.builder().baseUrl(System.getenv("BASE") + "/v1/")
            .apiKey(System.getenv("KEY")).modelName("claude-sonnet-4-5").build();
        System.out.println(estimator.estimateTokenCountInMessages(List.of(UserMessage.from("hello there"))));
        System.exit(0);
    }
}
