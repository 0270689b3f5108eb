// policy/access/edit.h -- one definition of the policy files changed, added or taken away, as a person would do it by hand.
//
// Pure: text in, text out. Everything around the definition keeps its words, comments and order; where that is not possible (a list in
// brackets, an anchor) the one file is written anew without its comments, and `rewritten` says so. The result is read back and compared
// before it is given, so an edit changes what was named and nothing else. It is not judged: that is load_policy()'s part.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "platform/model/result.h"
#include "policy/access/load.h"

namespace sallyport::policy {

/// What one policy file says about one thing.
struct Defined {
  std::string name;  ///< its `name`; a binding without one is known by what it says ("b-" and 16 hexadecimal digits)
  std::string json;  ///< the words of the file as JSON
  std::string file;
  std::uint32_t line = 0;
};

/// `list`: principals, trusted_user_cas, groups, targets, roles or bindings. In the order of files and lines; files that cannot be read
/// count as empty.
[[nodiscard]] std::vector<Defined> definitions_in(std::span<const SourceFile> files, std::string_view list);

struct Edit {
  std::string list;
  std::string name;
  std::string json;  ///< of the new definition, one object; empty: it goes
};

struct Edited {
  std::vector<SourceFile> files;
  std::string file;        ///< the one that was changed or made
  bool rewritten = false;  ///< without its comments
};

/// Errc::not_found: there is nothing to take away. Errc::invalid: `json` is no object. Errc::conflict: a file cannot be read.
[[nodiscard]] Result<Edited> edit_policy(std::span<const SourceFile> files, const Edit& edit);

}  // namespace sallyport::policy
