// tokenizer.json of the native side: an Error, or a tokenizer that encodes and decodes.
#include "impl/tokenizer.h"
#include "tests/fuzz/support.h"
#include "tests/support/temporary_directory.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace plumbline;
  static const TemporaryDirectory directory;
  fuzz::write_file(directory / "tokenizer.json", fuzz::text_of(data, size));
  fuzz::try_load([&] {
    const auto tokenizer = native::load_tokenizer(directory.path());
    const auto ids = tokenizer->encode("a <b>\u00e9 <|im_start|>  12\n\U0001F600");
    tokenizer->decode(ids, true);
  });
  return 0;
}
