#include "snapshot/image/describe.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>

#include "snapshot/image/state_file.h"

namespace wisp {
namespace {

constexpr std::size_t kIndent = 2;
constexpr std::size_t kMaxIndent = 40;  // a hostile manifest is all brackets

bool is_space(char letter) {
  return letter == ' ' || letter == '\n' || letter == '\t' || letter == '\r';
}

class Indenter {
 public:
  explicit Indenter(std::string_view json) : rest_(json) {}

  std::string run() {
    for (; !rest_.empty(); rest_.remove_prefix(1)) {
      const char letter = rest_.front();
      if (in_text_) {
        inside_text(letter);
      } else if (!is_space(letter)) {
        outside_text(letter);
      }
    }
    return std::move(out_);
  }

 private:
  void inside_text(char letter) {
    put(letter);
    in_text_ = escaped_ || letter != '"';
    escaped_ = !escaped_ && letter == '\\';
  }
  void outside_text(char letter) {
    in_text_ = letter == '"';
    if (letter == '}' || letter == ']') {
      depth_ -= depth_ > 0 ? 1 : 0;
      if (!just_opened_) {
        new_line();
      }
    } else if (just_opened_) {
      new_line();
    }
    put(letter);
    just_opened_ = letter == '{' || letter == '[';
    depth_ += just_opened_ ? 1 : 0;
    if (letter == ',') {
      new_line();
    } else if (letter == ':') {
      out_ += ' ';
    }
  }
  void new_line() {
    out_ += '\n';
    out_.append(std::min(depth_ * kIndent, kMaxIndent), ' ');
  }
  void put(char letter) {
    const auto byte = static_cast<std::uint8_t>(letter);
    if (byte >= 0x20 && byte < 0x7f) {
      out_ += letter;
      return;
    }
    std::array<char, 8> text;
    std::snprintf(text.data(), text.size(), "\\x%02x", byte);
    out_ += text.data();
  }

  std::string_view rest_;
  std::string out_;
  std::size_t depth_ = 0;
  bool in_text_ = false;
  bool escaped_ = false;
  bool just_opened_ = false;
};

}  // namespace

std::string indent_json(std::string_view json) {
  return Indenter(json).run();
}

Result<std::string> describe_snapshot(const std::string& path) {
  const StateFile file = WISP_TRY(StateFile::open(path));
  std::string text = "format      v" + file.version().text() + "\n";
  text += "written by  wisp " + file.wisp_version() + "\n";
  text += "machine     x86_64\n";
  text += "size        " + std::to_string(file.size_bytes()) + " bytes\n";
  text += "sections    " + std::to_string(file.sections().size()) + "\n";
  for (const StateFile::Section& section : file.sections()) {
    text += "  " + std::string(section.name) + ": " + std::to_string(section.bytes.size()) + " bytes\n";
  }
  text += "manifest\n" + indent_json(file.manifest()) + "\n";
  return text;
}

}  // namespace wisp
