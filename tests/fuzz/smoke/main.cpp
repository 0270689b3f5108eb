// A fuzz target without libFuzzer: replays its corpus, then feeds changed copies of it, the same ones in every run of the same length.
// `fuzz_NAME [--seconds N] [FILE or FOLDER ...]`. A crash prints nothing more than the sanitizer does; the input stands in fuzz_NAME.last.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

namespace fs = std::filesystem;
using Input = std::vector<std::uint8_t>;

constexpr std::size_t k_longest_input = 64 * 1024;

std::vector<Input> read_corpus(const std::vector<std::string>& places) {
  std::vector<Input> corpus;
  const auto add = [&corpus](const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  };
  for (const std::string& place : places) {
    if (fs::is_directory(place)) {
      std::vector<fs::path> files;
      for (const auto& entry : fs::recursive_directory_iterator(place))
        if (entry.is_regular_file()) files.push_back(entry.path());
      std::sort(files.begin(), files.end());
      for (const fs::path& file : files) add(file);
    } else if (fs::exists(place)) {
      add(place);
    }
  }
  corpus.emplace_back();  // the empty input is everybody's corpus
  return corpus;
}

class Changer {
 public:
  explicit Changer(const std::vector<Input>& corpus) : corpus_(corpus) {}

  Input next() {
    Input input = corpus_[below(corpus_.size())];
    const std::size_t changes = 1 + below(8);
    for (std::size_t i = 0; i < changes; ++i) change(input);
    if (input.size() > k_longest_input) input.resize(k_longest_input);
    return input;
  }

 private:
  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : static_cast<std::size_t>(random_()) % limit; }
  std::uint8_t byte() {
    static constexpr std::uint8_t k_telling[] = {0, 1, 0x7f, 0x80, 0xff, '\n', '"', '/', ':', '-'};
    return below(3) == 0 ? k_telling[below(sizeof k_telling)] : static_cast<std::uint8_t>(random_());
  }

  void change(Input& input) {
    const std::size_t at = below(input.size() + 1);
    switch (below(7)) {
      case 0: input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), byte()); break;
      case 1:
        if (at < input.size()) input[at] = byte();
        break;
      case 2:
        if (at < input.size()) input[at] = static_cast<std::uint8_t>(input[at] ^ (1U << below(8)));
        break;
      case 3:
        if (at < input.size()) input.erase(input.begin() + static_cast<std::ptrdiff_t>(at), input.begin() + static_cast<std::ptrdiff_t>(at + below(input.size() - at) + 1));
        break;
      case 4: {  // a number of four bytes, as lengths are
        const auto number = static_cast<std::uint32_t>(below(2) == 0 ? below(64) : random_());
        for (std::size_t i = 0; i < 4 && at + i < input.size(); ++i) input[at + i] = static_cast<std::uint8_t>(number >> (8 * (3 - i)));
        break;
      }
      case 5: {  // a piece of another input
        const Input& other = corpus_[below(corpus_.size())];
        if (other.empty()) break;
        const std::size_t from = below(other.size());
        const std::size_t size = below(other.size() - from) + 1;
        input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), other.begin() + static_cast<std::ptrdiff_t>(from),
                     other.begin() + static_cast<std::ptrdiff_t>(from + size));
        break;
      }
      default: {  // many of the same
        const std::size_t count = below(below(10) == 0 ? 4096 : 32) + 1;
        input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), count, byte());
        break;
      }
    }
  }

  const std::vector<Input>& corpus_;
  std::mt19937_64 random_{20261122};
};

/// Written before each call, to a file that is only looked at after a crash.
class LastInput {
 public:
  explicit LastInput(const std::string& program) : path_(fs::path(program).filename().string() + ".last") {}
  ~LastInput() { std::remove(path_.c_str()); }
  LastInput(const LastInput&) = delete;
  LastInput& operator=(const LastInput&) = delete;
  void run(const Input& input) {
    std::FILE* file = std::fopen(path_.c_str(), "wb");
    if (file != nullptr) {
      if (!input.empty()) std::fwrite(input.data(), 1, input.size(), file);
      std::fclose(file);
    }
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }

 private:
  std::string path_;
};

}  // namespace

int main(int argc, char** argv) {
  double seconds = 2;
  std::vector<std::string> places;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) seconds = std::atof(argv[++i]);
    else places.emplace_back(argv[i]);
  }
  const std::vector<Input> corpus = read_corpus(places);
  LastInput last(argv[0]);
  for (const Input& input : corpus) last.run(input);
  Changer changer(corpus);
  std::size_t runs = 0;
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < until) {
    last.run(changer.next());
    ++runs;
  }
  std::printf("%zu inputs of the corpus and %zu changed ones\n", corpus.size(), runs);
  return 0;
}
