#include "platform/terminal/screen.h"

#include <vterm.h>

#include <array>
#include <map>
#include <utility>

#include "platform/model/utf8.h"
#include "platform/terminal/cells.h"
#include "platform/terminal/sequences.h"

namespace sallyport::terminal {
namespace {

constexpr std::size_t k_most_combined = 2048;
constexpr std::size_t k_most_pens = 4096;
constexpr std::size_t k_longest_title = 256;
constexpr std::size_t k_longest_command = 64;

struct FreeTerm {
  void operator()(VTerm* term) const noexcept { vterm_free(term); }
};

/// How a character is drawn. Colours: 0 default, 1 + n palette entry n, 0x1000000 | rgb.
struct Pen {
  std::uint32_t foreground = 0;
  std::uint32_t background = 0;
  std::uint16_t flags = 0;  ///< 1 bold, 2 italic, 4 blink, 8 reverse, 16 strike, underline << 5
  auto operator<=>(const Pen&) const = default;
};

[[nodiscard]] std::uint32_t packed(const VTermColor& color) {
  if (VTERM_COLOR_IS_DEFAULT_FG(&color) || VTERM_COLOR_IS_DEFAULT_BG(&color)) return 0;
  if (VTERM_COLOR_IS_INDEXED(&color)) return 1U + color.indexed.idx;
  return 0x1000000U | (static_cast<std::uint32_t>(color.rgb.red) << 16) | (static_cast<std::uint32_t>(color.rgb.green) << 8) | color.rgb.blue;
}

void append_color(std::string& to, std::uint32_t color, bool background) {
  if (color == 0) return;
  to += background ? ";48" : ";38";
  if (color < 0x1000000U) {
    to += ";5;" + std::to_string(color - 1);
  } else {
    to += ";2;" + std::to_string((color >> 16) & 0xff) + ";" + std::to_string((color >> 8) & 0xff) + ";" + std::to_string(color & 0xff);
  }
}

[[nodiscard]] std::string select(const Pen& pen) {
  std::string out = "\x1b[0";
  if ((pen.flags & 1) != 0) out += ";1";
  if ((pen.flags & 2) != 0) out += ";3";
  if ((pen.flags & 4) != 0) out += ";5";
  if ((pen.flags & 8) != 0) out += ";7";
  if ((pen.flags & 16) != 0) out += ";9";
  if ((pen.flags >> 5) != 0) out += (pen.flags >> 5) == 2 ? ";21" : ";4";
  append_color(out, pen.foreground, false);
  append_color(out, pen.background, true);
  return out + "m";
}

struct HistoryLine {
  std::string text;
  bool continues = false;
};

}  // namespace

struct Screen::Model {
  explicit Model(Screen::Options wanted) : options(wanted) {
    options.columns = std::clamp<std::uint32_t>(options.columns, 1, k_most_columns);
    options.rows = std::clamp<std::uint32_t>(options.rows, 1, k_most_rows);
    main.shape(static_cast<int>(options.rows), static_cast<int>(options.columns), options.attributes);
    start();
  }

  void start() {
    term.reset(vterm_new(main.rows(), main.columns()));
    vterm_set_utf8(term.get(), 1);
    vterm_output_set_callback(term.get(), [](const char*, size_t, void*) {}, nullptr);
    state = vterm_obtain_state(term.get());
    vterm_state_set_callbacks(state, &callbacks(), this);
    vterm_state_reset(state, 1);
  }

  static const VTermStateCallbacks& callbacks();

  [[nodiscard]] Cells& cells() { return alternate ? other : main; }
  [[nodiscard]] const Cells& cells() const { return alternate ? other : main; }
  [[nodiscard]] VTermPos position() const {
    VTermPos pos{};
    vterm_state_get_cursorpos(state, &pos);
    pos.row = std::clamp(pos.row, 0, main.rows() - 1);
    pos.col = std::clamp(pos.col, 0, main.columns() - 1);
    return pos;
  }

  [[nodiscard]] std::uint16_t pen_number() {
    if (!options.attributes || pen == Pen{}) return 0;
    if (const auto found = pen_index.find(pen); found != pen_index.end()) return found->second;
    if (pens.size() >= k_most_pens) return 0;
    pens.push_back(pen);
    const auto number = static_cast<std::uint16_t>(pens.size());
    pen_index.emplace(pen, number);
    return number;
  }

  [[nodiscard]] char32_t glyph_of(const std::uint32_t* chars) {
    if (chars[1] == 0) return static_cast<char32_t>(chars[0]);
    std::u32string all;
    for (std::size_t i = 0; i < VTERM_MAX_CHARS_PER_CELL && chars[i] != 0; ++i) all.push_back(static_cast<char32_t>(chars[i]));
    for (std::size_t i = 0; i < combined.size(); ++i)
      if (combined[i] == all) return k_combined | static_cast<char32_t>(i);
    if (combined.size() >= k_most_combined) return all.front();
    combined.push_back(std::move(all));
    return k_combined | static_cast<char32_t>(combined.size() - 1);
  }

  void append_glyph(std::string& to, char32_t glyph) const {
    if (glyph == k_blank) {
      to.push_back(' ');
    } else if ((glyph & k_combined) != 0) {
      const auto number = static_cast<std::size_t>(glyph & ~k_combined);
      if (number < combined.size())
        for (const char32_t c : combined[number]) append_utf8(to, c);
    } else {
      append_utf8(to, glyph);
    }
  }

  /// Cells left .. right of a row; trailing blanks stay.
  [[nodiscard]] std::string cells_text(int row, int left, int right) const {
    const Cells& shown = cells();
    std::string out;
    for (int column = left; column < std::min(right, shown.columns()); ++column) {
      const char32_t glyph = shown.glyph(row, column);
      if (glyph != k_wide_tail) append_glyph(out, glyph);
    }
    return out;
  }

  void put(const VTermGlyphInfo& info, VTermPos pos) {
    Cells& shown = cells();
    if (info.width < 0 || pos.row < 0 || pos.row >= shown.rows() || pos.col < 0 || pos.col >= shown.columns()) return;
    ++version;
    if (pos.col == 0 && last_put_full && last_put_row == pos.row - 1) shown.set_wrapped(pos.row, true);
    const std::uint16_t number = pen_number();
    // Half of a wide character that is overwritten takes the other half with it.
    if (pos.col > 0 && shown.glyph(pos.row, pos.col) == k_wide_tail) shown.put(pos.row, pos.col - 1, k_blank, number);
    const int beyond = pos.col + info.width;
    if (beyond < shown.columns() && shown.glyph(pos.row, beyond) == k_wide_tail) shown.put(pos.row, beyond, k_blank, number);
    const char32_t glyph = glyph_of(info.chars);
    shown.put(pos.row, pos.col, glyph, number);
    if (info.width > 0) {
      last_glyph = glyph;
      last_width = info.width;
    }
    for (int column = pos.col + 1; column < beyond; ++column) shown.put(pos.row, column, k_wide_tail, number);
    last_put_row = pos.row;
    // A wide character that does not fit leaves the last column empty and wraps all the same.
    last_put_full = beyond >= shown.columns() - 1;
  }

  /// REP, at most one row of it.
  void repeat(std::uint32_t count) {
    if (last_width == 0) return;
    std::string text;
    const auto fitting = static_cast<std::uint32_t>(main.columns() / last_width);
    for (std::uint32_t i = 0; i < std::min(count, fitting); ++i) append_glyph(text, last_glyph);
    vterm_input_write(term.get(), text.data(), text.size());
  }

  void command(std::string_view text) {
    if (text.starts_with("0;") || text.starts_with("2;")) {
      title.assign(text.substr(2, k_longest_title));
      ++version;
    } else if (owner != nullptr && owner->on_command) {
      owner->on_command(text.substr(0, k_longest_command));
    }
  }

  void moved(VTermPos pos) {
    ++version;
    if (pos.row != last_put_row || pos.col < cells().columns() - 2) last_put_full = false;
  }

  void push_out(int rows, Screen* screen) {
    for (int row = 0; row < rows; ++row) {
      const bool continued = main.wrapped(row);
      if (options.history > 0 || (screen != nullptr && screen->on_line_out)) {
        std::string text = trimmed(cells_text_of(main, row));
        if (screen != nullptr && screen->on_line_out) screen->on_line_out(top, text, continued);
        if (options.history > 0) {
          history.push_back({std::move(text), continued});
          if (history.size() > options.history) history.pop_front();
        }
      }
      ++top;
    }
  }

  [[nodiscard]] std::string cells_text_of(const Cells& which, int row) const {
    std::string out;
    for (int column = 0; column < which.columns(); ++column)
      if (const char32_t glyph = which.glyph(row, column); glyph != k_wide_tail) append_glyph(out, glyph);
    return out;
  }

  [[nodiscard]] static std::string trimmed(std::string text) {
    const std::size_t end = text.find_last_not_of(' ');
    text.resize(end == std::string::npos ? 0 : end + 1);
    return text;
  }

  void scroll(VTermRect rect, int down, int right) {
    ++version;
    Cells& shown = cells();
    const bool leaves = !alternate && rect.start_row == 0 && rect.start_col == 0 && rect.end_col >= shown.columns() && down > 0 && right == 0;
    if (leaves) push_out(std::min(down, rect.end_row), owner);
    shown.scroll({rect.start_row, rect.end_row, rect.start_col, rect.end_col}, down, right, 0);
    if (last_put_full) last_put_row -= down;
  }

  void erase(VTermRect rect) {
    ++version;
    cells().erase({rect.start_row, rect.end_row, rect.start_col, rect.end_col}, pen.background == 0 ? std::uint16_t{0} : erase_pen());
  }

  [[nodiscard]] std::uint16_t erase_pen() {
    const Pen kept = std::exchange(pen, Pen{0, pen.background, 0});
    const std::uint16_t number = pen_number();
    pen = kept;
    return number;
  }

  void set_pen(VTermAttr attr, const VTermValue& value) {
    const auto flag = [&](unsigned bit) {
      const unsigned flags = value.boolean != 0 ? pen.flags | bit : pen.flags & ~bit;
      pen.flags = static_cast<std::uint16_t>(flags);
    };
    switch (attr) {
      case VTERM_ATTR_BOLD: return flag(1);
      case VTERM_ATTR_ITALIC: return flag(2);
      case VTERM_ATTR_BLINK: return flag(4);
      case VTERM_ATTR_REVERSE: return flag(8);
      case VTERM_ATTR_STRIKE: return flag(16);
      case VTERM_ATTR_UNDERLINE:
        pen.flags = static_cast<std::uint16_t>((pen.flags & 31U) | ((static_cast<unsigned>(value.number) & 3U) << 5));
        return;
      case VTERM_ATTR_FOREGROUND: pen.foreground = packed(value.color); return;
      case VTERM_ATTR_BACKGROUND: pen.background = packed(value.color); return;
      case VTERM_ATTR_FONT:
      case VTERM_N_ATTRS: return;
    }
  }

  bool set_property(VTermProp property, const VTermValue& value) {
    ++version;
    if (property == VTERM_PROP_ALTSCREEN) {
      const bool wanted = value.boolean != 0;
      if (wanted && !other.exists()) other.shape(main.rows(), main.columns(), options.attributes);
      if (wanted != alternate) last_put_full = false;
      alternate = wanted;
      if (!wanted) other = Cells{};
    } else if (property == VTERM_PROP_CURSORVISIBLE) {
      cursor_visible = value.boolean != 0;
    }
    return true;
  }

  void reshaped(int rows, int columns, VTermPos* delta) {
    ++version;
    const VTermPos pos = position();
    last_put_full = false;
    if (!alternate && pos.row >= rows) {
      const int up = pos.row - rows + 1;
      push_out(up, owner);
      main.scroll({0, main.rows(), 0, main.columns()}, up, 0, 0);
      if (delta != nullptr) delta->row = -up;
    }
    main.shape(rows, columns, options.attributes);
    if (other.exists()) other.shape(rows, columns, options.attributes);
  }

  Screen::Options options;
  Screen* owner = nullptr;
  std::unique_ptr<VTerm, FreeTerm> term;
  VTermState* state = nullptr;
  Cells main;
  Cells other;
  bool alternate = false;
  bool cursor_visible = true;
  std::uint64_t top = 0;
  std::uint64_t version = 0;
  std::deque<HistoryLine> history;
  std::vector<std::u32string> combined;
  Pen pen;
  std::vector<Pen> pens;
  std::map<Pen, std::uint16_t> pen_index;
  std::string title;
  Sequences sequences;
  char32_t last_glyph = k_blank;
  int last_width = 0;  ///< 0: nothing was shown yet
  int last_put_row = -1;
  bool last_put_full = false;  ///< the newest character reached the right edge and the cursor has not left it since
};

const VTermStateCallbacks& Screen::Model::callbacks() {
  static const VTermStateCallbacks table = [] {
    VTermStateCallbacks out{};
    out.putglyph = [](VTermGlyphInfo* info, VTermPos pos, void* user) {
      static_cast<Model*>(user)->put(*info, pos);
      return 1;
    };
    out.movecursor = [](VTermPos pos, VTermPos, int, void* user) {
      static_cast<Model*>(user)->moved(pos);
      return 1;
    };
    out.scrollrect = [](VTermRect rect, int downward, int rightward, void* user) {
      static_cast<Model*>(user)->scroll(rect, downward, rightward);
      return 1;
    };
    out.erase = [](VTermRect rect, int, void* user) {
      static_cast<Model*>(user)->erase(rect);
      return 1;
    };
    out.initpen = [](void* user) {
      static_cast<Model*>(user)->pen = Pen{};
      return 1;
    };
    out.setpenattr = [](VTermAttr attr, VTermValue* value, void* user) {
      static_cast<Model*>(user)->set_pen(attr, *value);
      return 1;
    };
    out.settermprop = [](VTermProp property, VTermValue* value, void* user) {
      return static_cast<Model*>(user)->set_property(property, *value) ? 1 : 0;
    };
    out.resize = [](int rows, int columns, VTermPos* delta, void* user) {
      static_cast<Model*>(user)->reshaped(rows, columns, delta);
      return 1;
    };
    return out;
  }();
  return table;
}

Screen::Screen(Options options) : model_(std::make_unique<Model>(options)) { model_->owner = this; }
Screen::~Screen() = default;
Screen::Screen(Screen&& other) noexcept
    : on_line_out(std::move(other.on_line_out)), on_command(std::move(other.on_command)), model_(std::move(other.model_)) {
  if (model_) model_->owner = this;
}
Screen& Screen::operator=(Screen&& other) noexcept {
  on_line_out = std::move(other.on_line_out);
  on_command = std::move(other.on_command);
  model_ = std::move(other.model_);
  if (model_) model_->owner = this;
  return *this;
}

void Screen::feed(std::string_view output) {
  while (!output.empty()) {
    const Sequences::Piece piece = model_->sequences.take(output);
    if (!piece.bytes.empty()) vterm_input_write(model_->term.get(), piece.bytes.data(), piece.bytes.size());
    if (piece.repeats > 0) model_->repeat(piece.repeats);
    if (!piece.command.empty()) model_->command(piece.command);
  }
}

void Screen::feed(std::span<const std::byte> output) {
  feed(std::string_view(static_cast<const char*>(static_cast<const void*>(output.data())), output.size()));
}

void Screen::resize(std::uint32_t columns, std::uint32_t rows) {
  columns = std::clamp<std::uint32_t>(columns, 1, k_most_columns);
  rows = std::clamp<std::uint32_t>(rows, 1, k_most_rows);
  if (columns == this->columns() && rows == this->rows()) return;
  vterm_set_size(model_->term.get(), static_cast<int>(rows), static_cast<int>(columns));
}

void Screen::reset() {
  Model& m = *model_;
  m.top += static_cast<std::uint64_t>(m.main.rows());
  m.history.clear();
  m.alternate = false;
  m.other = Cells{};
  m.main.erase({0, m.main.rows(), 0, m.main.columns()}, 0);
  m.last_put_full = false;
  m.pen = Pen{};
  m.sequences = {};
  m.last_width = 0;
  m.start();
  ++m.version;
}

std::uint32_t Screen::columns() const noexcept { return static_cast<std::uint32_t>(model_->main.columns()); }
std::uint32_t Screen::rows() const noexcept { return static_cast<std::uint32_t>(model_->main.rows()); }
Place Screen::cursor() const noexcept {
  const VTermPos pos = model_->position();
  return {model_->top + static_cast<std::uint64_t>(pos.row), static_cast<std::uint32_t>(pos.col)};
}
bool Screen::cursor_visible() const noexcept { return model_->cursor_visible; }
bool Screen::in_alternate() const noexcept { return model_->alternate; }
std::string Screen::title() const { return model_->title; }
std::uint64_t Screen::top() const noexcept { return model_->top; }
std::uint64_t Screen::first() const noexcept { return model_->top - (model_->alternate ? 0 : model_->history.size()); }
std::uint64_t Screen::version() const noexcept { return model_->version; }

std::string Screen::line_text(std::uint64_t line) const {
  const Model& m = *model_;
  if (line < first()) return {};
  if (line < m.top) return m.history[static_cast<std::size_t>(line - first())].text;
  if (line - m.top >= rows()) return {};
  return Model::trimmed(m.cells_text(static_cast<int>(line - m.top), 0, m.main.columns()));
}

bool Screen::continues(std::uint64_t line) const {
  const Model& m = *model_;
  if (line < first()) return false;
  if (line < m.top) return m.history[static_cast<std::size_t>(line - first())].continues;
  return line - m.top < rows() && m.cells().wrapped(static_cast<int>(line - m.top));
}

std::uint64_t Screen::logical_begin(std::uint64_t line) const {
  while (line > first() && continues(line)) --line;
  return line;
}

std::uint64_t Screen::logical_end(std::uint64_t line) const {
  while (continues(line + 1)) ++line;
  return line;
}

std::string Screen::text(Place from, Place to) const {
  const Model& m = *model_;
  std::string out;
  if (from.line < first()) from = {first(), 0};
  for (std::uint64_t line = from.line; line <= to.line && line < m.top + rows(); ++line) {
    const std::uint32_t left = line == from.line ? from.column : 0;
    const std::uint32_t right = line == to.line ? to.column : columns();
    const bool runs_on = line < to.line && continues(line + 1);
    std::string part;
    if (line >= m.top) {
      part = m.cells_text(static_cast<int>(line - m.top), static_cast<int>(std::min(left, columns())), static_cast<int>(right));
    } else {
      // History keeps text, not cells: columns are counted in characters there.
      const std::string whole = line_text(line);
      std::size_t at = 0;
      for (std::uint32_t column = 0; at < whole.size() && column < left; ++column) {
        ++at;
        while (at < whole.size() && (static_cast<unsigned char>(whole[at]) & 0xc0) == 0x80) ++at;
      }
      part = whole.substr(at);
      if (runs_on && left == 0 && part.size() < columns()) part.resize(columns(), ' ');
    }
    if (!runs_on && line < to.line) part = Model::trimmed(std::move(part));
    out += part;
    if (!runs_on && line < to.line) out += '\n';
  }
  return out;
}

std::string Screen::repaint() const {
  const Model& m = *model_;
  std::string out = "\x1b[0m";
  if (m.alternate) out += "\x1b[?1049h";
  out += "\x1b[H\x1b[2J";
  std::uint16_t current = 0;
  const Cells& shown = m.cells();
  for (int row = 0; row < shown.rows(); ++row) {
    int last = shown.columns();
    while (last > 0 && shown.glyph(row, last - 1) == k_blank && shown.pen(row, last - 1) == 0) --last;
    if (last == 0) continue;
    out += "\x1b[" + std::to_string(row + 1) + ";1H";
    for (int column = 0; column < last; ++column) {
      const char32_t glyph = shown.glyph(row, column);
      if (glyph == k_wide_tail) continue;
      if (const std::uint16_t number = shown.pen(row, column); number != current) {
        current = number;
        out += number == 0 || number > m.pens.size() ? "\x1b[0m" : select(m.pens[number - 1U]);
      }
      m.append_glyph(out, glyph);
    }
  }
  if (current != 0) out += "\x1b[0m";
  const VTermPos pos = m.position();
  out += "\x1b[" + std::to_string(pos.row + 1) + ";" + std::to_string(pos.col + 1) + "H";
  out += m.cursor_visible ? "\x1b[?25h" : "\x1b[?25l";
  return out;
}

std::size_t Screen::memory() const noexcept {
  const Model& m = *model_;
  std::size_t sum = sizeof(Model) + 6 * 1024 + m.main.memory() + m.other.memory() + m.pens.size() * 2 * sizeof(Pen);
  for (const HistoryLine& line : m.history) sum += sizeof line + line.text.capacity();
  for (const std::u32string& text : m.combined) sum += sizeof text + text.capacity() * sizeof(char32_t);
  return sum;
}

}  // namespace sallyport::terminal
