#include "policy/guard/rules.h"

#include <re2/re2.h>

namespace sallyport::guard {
namespace {

constexpr std::string_view k_magic = "SPGR1";
constexpr std::uint32_t k_most_items = 20'000;
constexpr std::uint32_t k_longest_text = 64 * 1024;

class Writer {
 public:
  void byte(std::uint8_t value) { out_.push_back(static_cast<std::byte>(value)); }
  void number(std::uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8) byte(static_cast<std::uint8_t>(value >> shift));
  }
  void text(std::string_view value) {
    number(static_cast<std::uint32_t>(value.size()));
    for (const char c : value) byte(static_cast<std::uint8_t>(c));
  }
  void list(const std::vector<std::string>& values) {
    number(static_cast<std::uint32_t>(values.size()));
    for (const std::string& value : values) text(value);
  }
  std::vector<std::byte> take() { return std::move(out_); }

 private:
  std::vector<std::byte> out_;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::uint8_t byte() {
    if (at_ >= bytes_.size()) {
      failed_ = true;
      return 0;
    }
    return static_cast<std::uint8_t>(bytes_[at_++]);
  }
  std::uint32_t number() {
    std::uint32_t value = 0;
    for (int shift = 0; shift < 32; shift += 8) value |= static_cast<std::uint32_t>(byte()) << shift;
    return value;
  }
  std::string text() {
    const std::uint32_t size = number();
    if (size > k_longest_text || size > bytes_.size() - std::min(at_, bytes_.size())) {
      failed_ = true;
      return {};
    }
    std::string value;
    value.reserve(size);
    for (std::uint32_t i = 0; i < size; ++i) value.push_back(static_cast<char>(byte()));
    return value;
  }
  std::vector<std::string> list() {
    const std::uint32_t count = number();
    if (count > k_most_items) failed_ = true;
    std::vector<std::string> values;
    for (std::uint32_t i = 0; i < count && !failed_; ++i) values.push_back(text());
    return values;
  }
  Verdict verdict() {
    const std::uint8_t value = byte();
    if (value > static_cast<std::uint8_t>(Verdict::kill)) {
      failed_ = true;
      return Verdict::deny;
    }
    return static_cast<Verdict>(value);
  }
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] bool at_end() const { return at_ == bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

}  // namespace

std::string_view name_of(Feature feature) noexcept {
  switch (feature) {
    case Feature::list: return "list";
    case Feature::pipe: return "pipe";
    case Feature::redirect: return "redirect";
    case Feature::expansion: return "expansion";
    case Feature::compound: return "compound";
  }
  return "list";
}

std::vector<std::byte> encode(const RuleDocument& document) {
  Writer out;
  for (const char c : k_magic) out.byte(static_cast<std::uint8_t>(c));
  for (const Verdict verdict : document.opaque) out.byte(static_cast<std::uint8_t>(verdict));
  out.byte(static_cast<std::uint8_t>((document.allow_list_only ? 1 : 0) | (document.marks ? 2 : 0)));
  out.byte(document.features);
  out.list(document.allowed);
  out.list(document.denied);
  out.number(static_cast<std::uint32_t>(document.rules.size()));
  for (const Rule& rule : document.rules) {
    out.text(rule.id);
    out.byte(static_cast<std::uint8_t>(rule.verdict));
    for (const std::string* text : {&rule.reason, &rule.remedy, &rule.pattern, &rule.unless, &rule.env_value}) out.text(*text);
    for (const auto* list : {&rule.programs, &rule.flags, &rule.without, &rule.words, &rule.reads, &rule.writes, &rule.deletes, &rule.changes, &rule.edits, &rule.except, &rule.env}) out.list(*list);
    out.byte(static_cast<std::uint8_t>((rule.remote_operand ? 1 : 0) | (rule.remote_host ? 2 : 0) | (rule.no_operands ? 4 : 0)));
  }
  return out.take();
}

Result<RuleDocument> decode(std::span<const std::byte> bytes) {
  Reader in(bytes);
  for (const char c : k_magic) {
    if (in.byte() != static_cast<std::uint8_t>(c)) return fail(Errc::invalid, "these bytes are not a rule set of the guard");
  }
  RuleDocument document;
  for (Verdict& verdict : document.opaque) verdict = in.verdict();
  const std::uint8_t modes = in.byte();
  if (modes > 3) return fail(Errc::invalid, "the rule set has modes that are not known here");
  document.allow_list_only = (modes & 1U) != 0;
  document.marks = (modes & 2U) != 0;
  document.features = in.byte();
  document.allowed = in.list();
  document.denied = in.list();
  const std::uint32_t count = in.number();
  if (count > k_most_items) return fail(Errc::invalid, "the rule set holds too many rules");
  for (std::uint32_t i = 0; i < count && !in.failed(); ++i) {
    Rule rule;
    rule.id = in.text();
    rule.verdict = in.verdict();
    for (std::string* text : {&rule.reason, &rule.remedy, &rule.pattern, &rule.unless, &rule.env_value}) *text = in.text();
    for (auto* list : {&rule.programs, &rule.flags, &rule.without, &rule.words, &rule.reads, &rule.writes, &rule.deletes, &rule.changes, &rule.edits, &rule.except, &rule.env}) *list = in.list();
    const std::uint8_t bits = in.byte();
    rule.remote_operand = (bits & 1U) != 0;
    rule.remote_host = (bits & 2U) != 0;
    rule.no_operands = (bits & 4U) != 0;
    document.rules.push_back(std::move(rule));
  }
  if (in.failed() || !in.at_end()) return fail(Errc::invalid, "the rule set is cut short or has more than it should");
  return document;
}

std::string pattern_problem(std::string_view pattern) {
  if (pattern.size() > 2000) return "the pattern is longer than 2,000 characters";
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(1 << 20);
  const RE2 compiled(re2::StringPiece(pattern.data(), pattern.size()), options);
  return compiled.ok() ? std::string() : compiled.error();
}

}  // namespace sallyport::guard
