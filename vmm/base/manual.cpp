#include "vmm/base/manual.h"

#include <string_view>

#include "vmm/base/version.h"

namespace wisp {
namespace {

constexpr std::size_t kTextColumns = 96;

/// Breaks a paragraph at blanks.
std::string wrapped(std::string_view paragraph, std::size_t indent) {
  const std::string margin(indent, ' ');
  std::string text;
  std::size_t column = 0;
  while (!paragraph.empty()) {
    const std::size_t end = std::min(paragraph.find(' '), paragraph.size());
    const std::string_view word = paragraph.substr(0, end);
    if (column == 0) {
      text += margin;
      column = indent;
    } else if (column + 1 + word.size() > kTextColumns) {
      text += "\n" + margin;
      column = indent;
    } else {
      text += ' ';
      ++column;
    }
    text += word;
    column += word.size();
    paragraph.remove_prefix(std::min(end + 1, paragraph.size()));
  }
  return text + "\n";
}

std::string flag_of(const ArgumentSpec& spec) {
  std::string text = std::string("--") + spec.name;
  return spec.kind == ArgumentKind::Switch ? text : text + " " + spec.value_name;
}

/// Everything behind the flag's first line.
std::string explanation(const ArgumentSpec& spec) {
  std::string text = spec.help;
  if (spec.kind == ArgumentKind::RepeatedValue) {
    text += " May be given several times.";
  }
  if (spec.kind != ArgumentKind::Switch) {
    text += spec.fallback == nullptr ? " Required." : std::string(" Default: ") + spec.fallback + ".";
  }
  if (spec.needs != nullptr) {
    text += std::string(" Needs --") + spec.needs + ".";
  }
  if (spec.excludes != nullptr) {
    text += std::string(" Not together with --") + spec.excludes + ".";
  }
  if (spec.example != nullptr) {
    text += std::string(" Example: --") + spec.name + " " + spec.example;
  }
  return text;
}

/// Text for troff: a backslash, a dash and a dot at a line's begin mean something there.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char character : text) {
    if (character == '\\') {
      out += "\\e";
    } else if (character == '-') {
      out += "\\-";
    } else {
      out += character;
    }
  }
  return out.starts_with('.') || out.starts_with('\'') ? "\\&" + out : out;
}

std::string manual_exits(const ManualPage& page) {
  std::string text;
  for (const ManualExit& each : page.exits) {
    text += ".TP\n.B " + escaped(each.code) + "\n" + escaped(each.meaning) + "\n";
  }
  return text.empty() ? text : ".SH EXIT STATUS\n" + text;
}

std::string manual_options(const ManualPage& page) {
  std::string text;
  if (!page.words.empty()) {
    text += ".SH COMMANDS\n";
  }
  for (const ManualWord& each : page.words) {
    text += ".TP\n.B " + escaped(each.word) + (each.operands != nullptr ? " " + escaped(each.operands) : "") + "\n" +
            escaped(each.help) + "\n";
  }
  if (!page.arguments.empty()) {
    text += ".SH OPTIONS\n";
  }
  for (const ArgumentSpec& spec : page.arguments) {
    text += ".TP\n.B " + escaped(flag_of(spec)) + "\n" + escaped(explanation(spec)) + "\n";
  }
  return text;
}

std::string help_options(const ManualPage& page) {
  std::string text;
  if (!page.words.empty()) {
    text += "\nCommands:\n";
  }
  for (const ManualWord& each : page.words) {
    text += std::string("  ") + each.word + (each.operands != nullptr ? std::string(" ") + each.operands : "") + "\n" +
            wrapped(each.help, 6);
  }
  if (!page.arguments.empty()) {
    text += "\nOptions:\n";
  }
  for (const ArgumentSpec& spec : page.arguments) {
    text += "  " + flag_of(spec) + "\n" + wrapped(explanation(spec), 6);
  }
  return text;
}

}  // namespace

std::string full_name(const ManualPage& page) {
  return page.command == nullptr ? page.program : std::string(page.program) + " " + page.command;
}

std::string manual_name(const ManualPage& page) {
  return page.command == nullptr ? page.program : std::string(page.program) + "-" + page.command;
}

std::string help_text(const ManualPage& page) {
  std::string text = full_name(page) + ": " + page.summary + "\n\nUsage:\n";
  for (const char* line : page.synopsis) {
    text += "  " + full_name(page) + " " + line + "\n";
  }
  for (const char* paragraph : page.description) {
    text += "\n" + wrapped(paragraph, 0);
  }
  text += help_options(page);
  if (!page.examples.empty()) {
    text += "\nExamples:\n";
  }
  for (const ManualExample& each : page.examples) {
    text += std::string("  ") + each.command + "\n" + wrapped(each.meaning, 6);
  }
  if (!page.exits.empty()) {
    text += "\nExit status:\n";
  }
  for (const ManualExit& each : page.exits) {
    text += wrapped(std::string(each.code) + "  " + each.meaning, 2);
  }
  return text;
}

std::string manual_text(const ManualPage& page) {
  const std::string name = manual_name(page);
  std::string text = ".TH " + name + " " + std::to_string(page.section) + " \"\" \"wisp " + kWispVersion +
                     "\" \"wisp\"\n.SH NAME\n" + escaped(name) + " \\- " + escaped(page.summary) +
                     "\n.SH SYNOPSIS\n.nf\n";
  for (const char* line : page.synopsis) {
    text += ".B " + escaped(full_name(page)) + "\n" + escaped(line) + "\n";
  }
  text += ".fi\n.SH DESCRIPTION\n";
  for (const char* paragraph : page.description) {
    text += escaped(paragraph) + "\n.PP\n";
  }
  text += manual_options(page);
  if (!page.examples.empty()) {
    text += ".SH EXAMPLES\n";
  }
  for (const ManualExample& each : page.examples) {
    text += ".TP\n.B " + escaped(each.command) + "\n" + escaped(each.meaning) + "\n";
  }
  text += manual_exits(page);
  if (!page.see_also.empty()) {
    text += ".SH SEE ALSO\n";
  }
  for (const char* each : page.see_also) {
    text += escaped(each) + "\n.br\n";
  }
  return text;
}

}  // namespace wisp
