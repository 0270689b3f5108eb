// policy/guard/code_reader.h -- what a piece of code in another language does with programs, files, the network and stores.
//
// No parser of that language: its tokens, with constants folded (code_tokens.h), are looked through for calls that start programs, run
// text as code, touch paths, open connections, delete, upload or command a cloud. What was found is emitted as commands of the walk;
// what is called by means that cannot be known is noted as opaque.
#pragma once

#include <string_view>

#include "policy/guard/code_tokens.h"
#include "policy/guard/walk.h"

namespace sallyport::guard {

void read_code(Walk& walk, Language language, std::string_view program, const Input& input, std::string_view code);
/// awk: system("x"), "x" | getline, print | "x", and redirections to files.
void read_awk(Walk& walk, std::string_view code, const Input& input, std::string_view program);

}  // namespace sallyport::guard
