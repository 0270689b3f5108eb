#include "app/verbs/manual.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>

#include "app/verbs/console.h"
#include "app/verbs/exit_codes.h"
#include "app/verbs/verb.h"
#include "app/version.h"

namespace sallyport::app {
namespace {

/// Text for roff: backslashes and hyphens as they are meant, no line that roff would take for a request.
std::string roff(std::string_view text) {
  std::string out;
  bool at_start = true;
  for (const char c : text) {
    if (at_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') out += "\\e";
    else if (c == '-') out += "\\-";
    else out += c;
    at_start = c == '\n';
  }
  return out;
}

std::string roff_upper(std::string text) {
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return roff(text);
}

/// The lines between "Examples:" and the summary.
std::string examples_of(const CLI::App& verb) {
  const std::string text = verb.get_description();
  const std::size_t begin = text.find('\n');
  const std::size_t end = text.rfind('\n');
  if (!text.starts_with("Examples:") || begin >= end) return {};
  std::string lines = text.substr(begin + 1, end - begin);
  while (lines.ends_with('\n')) lines.pop_back();
  return lines;
}

std::string option_line(const CLI::Option& option) {
  std::string names;
  for (const std::string& name : option.get_snames()) names += (names.empty() ? "" : ", ") + ("\\fB" + roff("-" + name) + "\\fR");
  for (const std::string& name : option.get_lnames()) names += (names.empty() ? "" : ", ") + ("\\fB" + roff("--" + name) + "\\fR");
  if (names.empty()) names = "\\fI" + roff_upper(option.get_name(true)) + "\\fR";
  else if (option.get_expected_min() > 0) names += " \\fI" + roff(option.get_option_text().empty() ? "VALUE" : option.get_option_text()) + "\\fR";
  std::string text = roff(option.get_description());
  if (option.get_required()) text += text.empty() ? "Required." : " (required)";
  return ".TP\n" + names + "\n" + (text.empty() ? "\\&" : text) + "\n";
}

std::string options_of(const CLI::App& verb) {
  std::string out;
  for (const CLI::Option* option : verb.get_options())
    if (!option->get_group().empty() && option->get_name() != "--help") out += option_line(*option);
  return out;
}

std::vector<const CLI::App*> shown_verbs(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* verb) { return !verb->get_group().empty(); });
}

std::string synopsis_of(const CLI::App& verb, const std::string& line) {
  std::string out = "\\fB" + roff(line) + "\\fR";
  for (const CLI::Option* option : verb.get_options()) {
    if (option->get_group().empty() || !option->get_required() || !option->get_positional()) continue;
    out += " \\fI" + roff_upper(option->get_name(true)) + "\\fR";
  }
  return out + " [\\fIOPTION\\fR]...\n";
}

std::string head_of(const std::string& name, const std::string& summary) {
  return ".\\\" Made from the help of the program.\n.TH " + roff_upper(name) + " 1 \"\" \"Sallyport " + k_version + "\" \"Sallyport\"\n.SH NAME\n" + roff(name) + " \\- " + roff(summary) + "\n";
}

std::string block(const std::string& lines) { return ".nf\n" + roff(lines) + "\n.fi\n"; }

std::string section_of(const CLI::App& verb, const std::string& line) {
  std::string out = ".SS " + roff(line) + "\n" + roff(summary_of(verb)) + "\n.PP\n" + synopsis_of(verb, line) + options_of(verb);
  if (const std::string examples = examples_of(verb); !examples.empty()) out += ".PP\n" + block(examples);
  for (const CLI::App* below : shown_verbs(verb)) out += section_of(*below, line + " " + below->get_name());
  return out;
}

constexpr std::string_view k_tail =
    ".SH EXIT STATUS\n0 done, 1 another failure, 2 wrong usage or invalid input, 3 not found, 4 denied, 5 approval needed, 6 conflict, 7 unavailable or sealed, "
    "8 verification failed, 130 interrupted.\n"
    ".SH ENVIRONMENT\n.TP\n\\fBSALLYPORT_CONFIG\\fR, \\fBSALLYPORT_SOCKET\\fR\nas \\fB\\-\\-config\\fR and \\fB\\-\\-socket\\fR\n.TP\n\\fBSALLYPORT_TOKEN\\fR\n"
    "a verb that asks the gateway acts as the token's principal\n.TP\n\\fBNO_COLOR\\fR\nno colours\n";

std::string overview_page(const CLI::App& app) {
  std::string out = head_of("sallyport", "privileged access gateway for SSH") + ".SH SYNOPSIS\n\\fBsallyport\\fR \\fIVERB\\fR [\\fIOPTION\\fR]...\n.SH DESCRIPTION\n" +
                    roff(summary_of(app)) + "\n.SH VERBS\n";
  for (const CLI::App* verb : shown_verbs(app))
    out += ".TP\n\\fB" + roff(verb->get_name()) + "\\fR\n" + roff(summary_of(*verb)) + " See \\fB" + roff("sallyport-" + verb->get_name()) + "\\fR(1).\n";
  out += ".SH OPTIONS\n" + options_of(app) + ".SH EXAMPLES\n";
  std::string examples = app.get_description();
  examples = examples.substr(0, examples.find("\n\n"));
  out += block(examples.substr(examples.find('\n') + 1));
  return out + std::string(k_tail) + ".SH FILES\n.TP\n\\fI/etc/sallyport/sallyport.yaml\\fR\nthe configuration\n";
}

std::string verb_page(const CLI::App& verb) {
  const std::string line = "sallyport " + verb.get_name();
  std::string out = head_of("sallyport-" + verb.get_name(), summary_of(verb)) + ".SH SYNOPSIS\n" + synopsis_of(verb, line);
  if (const std::string examples = examples_of(verb); !examples.empty()) out += ".SH EXAMPLES\n" + block(examples);
  if (const std::string options = options_of(verb); !options.empty()) out += ".SH OPTIONS\n" + options;
  if (const auto below = shown_verbs(verb); !below.empty()) {
    out += ".SH VERBS\n";
    for (const CLI::App* one : below) out += section_of(*one, line + " " + one->get_name());
  }
  return out + std::string(k_tail) + ".SH SEE ALSO\n\\fBsallyport\\fR(1)\n";
}

Result<void> write_page(const std::filesystem::path& file, const std::string& text) {
  std::ofstream out(file, std::ios::trunc | std::ios::binary);
  out << text;
  out.close();
  if (!out) return fail(Errc::unavailable, file.string() + ": cannot be written");
  return {};
}

}  // namespace

int write_manual(const CLI::App& app, const std::string& folder) {
  std::error_code problem;
  std::filesystem::create_directories(folder, problem);
  if (problem) return report(Error{Errc::unavailable, folder + ": " + problem.message()});
  if (auto written = write_page(std::filesystem::path(folder) / "sallyport.1", overview_page(app)); !written) return report(written.error());
  for (const CLI::App* verb : shown_verbs(app)) {
    auto written = write_page(std::filesystem::path(folder) / ("sallyport-" + verb->get_name() + ".1"), verb_page(*verb));
    if (!written) return report(written.error());
  }
  return k_exit_ok;
}

}  // namespace sallyport::app
