# client: langchain-anthropic
# what: get_num_tokens_from_messages asks the provider
# wants: ^[1-9]\d*$
# requests: 1
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage

model = ChatAnthropic(model="claude-sonnet-4-5")
print(model.get_num_tokens_from_messages([HumanMessage("hello there")]))
