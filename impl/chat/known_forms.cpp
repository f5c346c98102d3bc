#include "impl/chat/known_forms.h"

namespace plumbline::native {
namespace {

using Turns = ChatForm::Turns;
using Closes = ChatForm::Closes;
using Prompt = ChatForm::Prompt;

constexpr ChatForm kPlain{};
constexpr ChatForm kOpenEnded{Turns::plain, Closes::prompted, Prompt::not_answered};
constexpr ChatForm kTools{Turns::with_tools, Closes::always, Prompt::asked};

constexpr KnownForm kForms[] = {
    {"2baf2e50647e626e3b9a5fcb9bfc7b46ff14bdd5df8049f6161093383053a374", 2, kTools,
     "Qwen2.5: Instruct, Coder, Math, and the base models"},
    {"8a6de3aec9de732929d1964c442a9c4b0383aae4e4e22b52b1f724a895a8e86b", 1, kTools,
     "the same chats by a template of this project (fixtures/templates)"},
    {"6e4069db738c8c29c98548ece4fee8229402696d89961ee47e001f8ddde7e78b", 1, kPlain,
     "Qwen2, and later Qwen1.5"},
    {"9aeafb37c807585ea46bf4fdfdd6faa5ff789b250f596f105efb0a9e3855d891", 1, kPlain,
     "the same, asking the message instead of the first one"},
    {"1594ed69fbe08f4dbeff8ff525aaa1c4c992366dc0722f3cb966c042e1975611", 1, kPlain,
     "fixtures/models/tiny, tools/make_qwen_tokenizer.py"},
    {"39e71d46fae846067da1dcea899cb943ed024059d676630eb257b4395681d5db", 0, kPlain,
     "ChatML without a default system text"},
    {"4835d266aea08487a21f1e8501fb7088f82d6f9a4addb4ba1d099a12e550b1b2", 0, kPlain,
     "the same, with a default for add_generation_prompt"},
    {"142970a071a5fc735f8f595c79174adc22cf8da124172f4083d1bd99dc678471", 1, kOpenEnded,
     "Qwen1.5-Chat as first published"},
    {"70fa620b14c8af9b11fa6c5c577e258714a0a226022de0ac58b09bdf33c60c01", 0, kOpenEnded,
     "the same without a default system text"},
};

}  // namespace

std::span<const KnownForm> known_forms() {
  return kForms;
}

}  // namespace plumbline::native
