#include "vmm/cli/completion.h"

#include <algorithm>
#include <vector>

namespace wisp {
namespace {

bool takes_value(const ArgumentSpec& spec) {
  return spec.kind != ArgumentKind::Switch;
}

bool takes_file(const ArgumentSpec& spec) {
  const std::string_view name = spec.value_name == nullptr ? "" : spec.value_name;
  return name == "PATH" || name.starts_with("PATH[");
}

/// "on|off" as "on off"; empty when the value is not one of a few words.
std::string choices(const ArgumentSpec& spec) {
  std::string words = spec.value_name == nullptr ? "" : spec.value_name;
  if (words.find('|') == std::string::npos) {
    return "";
  }
  std::ranges::replace(words, '|', ' ');
  return words;
}

std::string flag(const ArgumentSpec& spec) {
  return std::string("--") + spec.name;
}

std::string all_flags(const ManualPage& page) {
  std::string flags;
  for (const ArgumentSpec& spec : page.arguments) {
    flags += (flags.empty() ? "" : " ") + flag(spec);
  }
  return flags;
}

/// The first word of each way to go on; files complete behind them.
std::string all_words(const ManualPage& page) {
  std::string words;
  for (const ManualWord& each : page.words) {
    words += (words.empty() ? "" : " ") + std::string(each.word);
  }
  return words;
}

std::string function_name(const ManualPage& page) {
  std::string name = "_" + manual_name(page);
  std::ranges::replace(name, '-', '_');
  return name;
}

bool belongs_to(const ManualPage& page, std::string_view program) {
  return page.program == program;
}

std::vector<std::string> programs(Pages pages) {
  std::vector<std::string> names;
  for (const ManualPage* page : pages) {
    if (std::ranges::find(names, page->program) == names.end()) {
      names.emplace_back(page->program);
    }
  }
  return names;
}

/// A single-quoted word of a shell.
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char character : text) {
    out += character == '\'' ? std::string("'\\''") : std::string(1, character);
  }
  return out + "'";
}

std::string bash_page(const ManualPage& page) {
  std::string text = function_name(page) + "() {\n  case $prev in\n";
  for (const ArgumentSpec& spec : page.arguments) {
    if (takes_file(spec)) {
      text += "    " + flag(spec) + ") COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n";
    } else if (!choices(spec).empty()) {
      text +=
          "    " + flag(spec) + ") COMPREPLY=($(compgen -W " + quoted(choices(spec)) + " -- \"$cur\")); return ;;\n";
    } else if (takes_value(spec)) {
      text += "    " + flag(spec) + ") return ;;\n";
    }
  }
  text += "  esac\n  if [[ $cur == -* ]]; then\n    COMPREPLY=($(compgen -W " + quoted(all_flags(page)) +
          " -- \"$cur\"))\n";
  const std::string first = page.command == nullptr ? "1" : "2";
  if (!page.words.empty()) {
    text += "  elif ((COMP_CWORD == " + first + ")); then\n    COMPREPLY=($(compgen -W " + quoted(all_words(page)) +
            " -- \"$cur\"))\n";
  }
  if (page.command != nullptr && !page.words.empty()) {
    text += "  else\n    COMPREPLY=($(compgen -f -- \"$cur\"))\n";
  }
  return text + "  fi\n}\n";
}

std::string bash_program(Pages pages, const std::string& program) {
  std::string name = "_" + program + "_complete";
  std::ranges::replace(name, '-', '_');
  std::string text = name +
                     "() {\n  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
                     "  COMPREPLY=()\n  case ${COMP_WORDS[1]} in\n";
  std::string otherwise;
  for (const ManualPage* page : pages) {
    if (!belongs_to(*page, program)) {
      continue;
    }
    if (page->command == nullptr) {
      otherwise = "    *) " + function_name(*page) + " ;;\n";
    } else {
      text += std::string("    ") + page->command + ") if ((COMP_CWORD > 1)); then " + function_name(*page) +
              "; else COMPREPLY=(" + page->command + "); fi ;;\n";
    }
  }
  return text + otherwise + "  esac\n}\ncomplete -o filenames -F " + name + " " + program + "\n";
}

/// A colon and brackets mean something to _arguments.
std::string zsh_escaped(std::string_view text) {
  std::string out;
  for (const char character : text) {
    out += character == ':' || character == '[' || character == ']' || character == '\\' ? "\\" : "";
    out += character;
  }
  return out;
}

std::string zsh_argument(const ArgumentSpec& spec) {
  std::string text = spec.kind == ArgumentKind::RepeatedValue ? "*" : "";
  text += flag(spec) + "[" + zsh_escaped(spec.help) + "]";
  if (takes_value(spec)) {
    text += ":" + zsh_escaped(spec.value_name) + ":";
    text += takes_file(spec) ? "_files" : choices(spec).empty() ? "" : "(" + choices(spec) + ")";
  }
  return quoted(text);
}

/// Not "_wisp", which is the name that zsh gives to the file as a whole.
std::string zsh_name(const ManualPage& page) {
  return "_page" + function_name(page);
}

std::string zsh_page(const ManualPage& page) {
  std::string text = zsh_name(page) + "() {\n  _arguments";
  for (const ArgumentSpec& spec : page.arguments) {
    text += " \\\n    " + zsh_argument(spec);
  }
  if (!page.words.empty()) {
    text += " \\\n    " + quoted("1:word:(" + all_words(page) + ")") + " \\\n    '*:file:_files'";
  }
  return text + "\n}\n";
}

std::string fish_page(const ManualPage& page) {
  std::string condition;
  if (page.command != nullptr) {
    condition = " -n '__fish_seen_subcommand_from " + std::string(page.command) + "'";
  } else if (!page.words.empty()) {
    condition = " -n 'not __fish_seen_subcommand_from " + all_words(page) + "'";
  }
  const std::string start = std::string("complete -c ") + page.program + condition;
  std::string text;
  for (const ManualWord& each : page.words) {
    text += start + " -f -a " + each.word + " -d " + quoted(each.help) + "\n";
  }
  for (const ArgumentSpec& spec : page.arguments) {
    text += start + " -l " + spec.name;
    if (takes_file(spec)) {
      text += " -r -F";
    } else if (!choices(spec).empty()) {
      text += " -x -a " + quoted(choices(spec));
    } else if (takes_value(spec)) {
      text += " -x";
    }
    text += " -d " + quoted(spec.help) + "\n";
  }
  return text;
}

}  // namespace

std::string bash_completion(Pages pages) {
  std::string text = "# Completion for bash, printed by `wisp completion bash`.\n";
  for (const ManualPage* page : pages) {
    text += bash_page(*page);
  }
  for (const std::string& program : programs(pages)) {
    text += bash_program(pages, program);
  }
  return text;
}

std::string zsh_completion(Pages pages) {
  std::string text = "#compdef wisp wisp-jailer\n# Completion for zsh, printed by `wisp completion zsh`.\n";
  std::string commands;
  for (const ManualPage* page : pages) {
    text += zsh_page(*page);
    if (page->command != nullptr) {
      commands += std::string("  ") + page->command + ") shift words; ((CURRENT--)); " + zsh_name(*page) + " ;;\n";
    }
  }
  return text + "if [[ $service == wisp-jailer ]]; then\n  _page_wisp_jailer\n  return\nfi\ncase ${words[2]} in\n" +
         commands + "  *) _page_wisp ;;\nesac\n";
}

std::string fish_completion(Pages pages) {
  std::string text = "# Completion for fish, printed by `wisp completion fish`.\n";
  for (const ManualPage* page : pages) {
    text += fish_page(*page);
  }
  return text;
}

}  // namespace wisp
