// $(( )): integers, variables, C's operators. What cannot be known is a hole.
#include <algorithm>

#include "policy/guard/walk.h"

namespace sallyport::guard {
namespace {

/// Precedence climbing over one expression.
class Arithmetic {
 public:
  Arithmetic(Walk& walk, std::string_view text) : walk_(walk), text_(text) {}

  std::optional<std::int64_t> run() {
    const std::int64_t value = expression(0);
    blanks();
    if (failed_ || at_ < text_.size()) return std::nullopt;
    return value;
  }

 private:
  void blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n')) ++at_;
  }
  [[nodiscard]] bool takes(std::string_view what) {
    blanks();
    if (text_.substr(std::min(at_, text_.size()), what.size()) != what) return false;
    at_ += what.size();
    return true;
  }

  std::int64_t primary() {
    if (++depth_ > 40) failed_ = true;
    blanks();
    if (failed_ || at_ >= text_.size()) {
      failed_ = true;
      return 0;
    }
    const char c = text_[at_];
    std::int64_t value = 0;
    if (takes("(")) {
      value = expression(0);
      if (!takes(")")) failed_ = true;
    } else if (c == '-') {
      ++at_;
      value = wrap(0, primary(), '-');
    } else if (c == '+') {
      ++at_;
      value = primary();
    } else if (c == '~') {
      ++at_;
      value = ~primary();
    } else if (c == '!') {
      ++at_;
      value = primary() == 0 ? 1 : 0;
    } else if (c >= '0' && c <= '9') {
      value = number();
    } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_') {
      const std::size_t start = at_;
      while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 || text_[at_] == '_')) ++at_;
      const Variable* found = walk_.find_variable(text_.substr(start, at_ - start));
      if (found == nullptr || found->values.empty()) {
        failed_ = found != nullptr || failed_;
      } else {
        const std::string text = found->values[0];
        walk_.look_into_subscript(text);  // bash reads the value as an expression of its own
        Arithmetic inner(walk_, text);
        inner.depth_ = depth_ + 1;
        const auto inner_value = inner.run();
        if (inner_value) {
          value = *inner_value;
        } else {
          failed_ = true;
        }
      }
    } else {
      failed_ = true;
    }
    --depth_;
    return value;
  }

  std::int64_t number() {
    int base = 10;
    if (text_[at_] == '0' && at_ + 1 < text_.size()) {
      if (text_[at_ + 1] == 'x' || text_[at_ + 1] == 'X') {
        base = 16;
        at_ += 2;
      } else {
        base = 8;
      }
    } else if (const std::size_t hash = text_.find('#', at_); hash != std::string_view::npos && hash - at_ <= 2) {
      base = 0;
      for (; at_ < hash; ++at_) base = base * 10 + (text_[at_] - '0');
      ++at_;
      if (base < 2 || base > 36) failed_ = true;
    }
    std::uint64_t value = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      int digit = -1;
      if (c >= '0' && c <= '9') digit = c - '0';
      if (c >= 'a' && c <= 'z') digit = c - 'a' + 10;
      if (c >= 'A' && c <= 'Z') digit = c - 'A' + 10;
      if (digit < 0 || digit >= base) break;
      value = value * static_cast<std::uint64_t>(base) + static_cast<std::uint64_t>(digit);
      ++at_;
    }
    return static_cast<std::int64_t>(value);
  }

  static std::int64_t wrap(std::int64_t a, std::int64_t b, char op) {
    const auto x = static_cast<std::uint64_t>(a);
    const auto y = static_cast<std::uint64_t>(b);
    return static_cast<std::int64_t>(op == '+' ? x + y : op == '-' ? x - y : x * y);
  }

  std::int64_t expression(int least) {
    if (++depth_ > 40) failed_ = true;
    std::int64_t left = failed_ ? 0 : primary();
    while (!failed_) {
      blanks();
      const std::string_view rest = text_.substr(std::min(at_, text_.size()));
      const auto is = [&](std::string_view op) { return rest.starts_with(op); };
      if (least <= 6 && is("**")) {
        at_ += 2;
        const std::int64_t power = expression(6);
        std::int64_t result = 1;
        for (std::int64_t i = 0; i < power && i < 64; ++i) result = wrap(result, left, '*');
        left = result;
      } else if (least <= 5 && (is("*") || is("/") || is("%"))) {
        const char op = rest[0];
        ++at_;
        const std::int64_t right = expression(6);
        if (op == '*') {
          left = wrap(left, right, '*');
        } else if (right == 0 || right == -1) {
          failed_ = true;
        } else {
          left = op == '/' ? left / right : left % right;
        }
      } else if (least <= 4 && (is("+") || is("-")) && !is("++") && !is("--")) {
        const char op = rest[0];
        ++at_;
        left = wrap(left, expression(5), op);
      } else if (least <= 3 && (is("<<") || is(">>"))) {
        const bool up = rest[0] == '<';
        at_ += 2;
        const auto by = static_cast<std::uint64_t>(expression(4)) & 63U;
        left = static_cast<std::int64_t>(up ? static_cast<std::uint64_t>(left) << by : static_cast<std::uint64_t>(left) >> by);
      } else if (least <= 2 && is("&") && !is("&&")) {
        ++at_;
        left &= expression(3);
      } else if (least <= 1 && is("^")) {
        ++at_;
        left ^= expression(2);
      } else if (least <= 0 && is("|") && !is("||")) {
        ++at_;
        left |= expression(1);
      } else {
        break;
      }
    }
    --depth_;
    return left;
  }

  Walk& walk_;
  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
  bool failed_ = false;
};

}  // namespace

std::string Walk::arithmetic(std::string_view expression) {
  const std::string text = expand_here_document(expression);
  if (text.empty()) return "0";
  if (!spend(8 * text.size())) return std::string(1, k_hole);
  const auto value = Arithmetic(*this, text).run();
  return value ? std::to_string(*value) : std::string(1, k_hole);
}

}  // namespace sallyport::guard
