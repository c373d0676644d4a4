// client: openai for Node
// what: a wrong key, a model out of the key's reach and an unknown model are not tried again
// wants: ^401 invalid_api_key$
// wants: ^403 not_allowed$
// wants: ^404 model_not_found$
// requests: 3
import OpenAI from "openai";

const { KEY, NARROW_KEY } = process.env;
for (const [apiKey, model] of [["wrong", "gpt-4o"], [NARROW_KEY, "gpt-4o"], [KEY, "nobody"]]) {
  try {
    await new OpenAI({ apiKey, maxRetries: 5 }).chat.completions.create({ model, messages: [] });
  } catch (error) {
    console.log(error.status, error.code);
  }
}
