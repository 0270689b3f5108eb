// tests/unit/platform/keygen_folder.h -- a throw-away folder in which the stock ssh-keygen makes files.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "platform/model/bytes.h"

namespace sallyport::test {

class KeygenFolder {
 public:
  KeygenFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "sallyport-keys-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  KeygenFolder(const KeygenFolder&) = delete;
  ~KeygenFolder() { std::filesystem::remove_all(path_); }

  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }

  /// `ssh-keygen ARGUMENTS` inside the folder; true when it says 0.
  bool keygen(const std::string& arguments) const { return run("ssh-keygen " + arguments); }
  bool run(const std::string& command) const {
    return std::system(("cd " + path_.string() + " && " + command + " >out 2>&1 </dev/null").c_str()) == 0;
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    std::ifstream in(path_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(const std::string& name, std::string_view content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
    std::filesystem::permissions(path_ / name, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  }
  [[nodiscard]] std::string output() const { return read("out"); }

 private:
  std::filesystem::path path_;
};

}  // namespace sallyport::test
