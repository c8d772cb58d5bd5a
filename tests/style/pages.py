#!/usr/bin/env python3
"""Fails when help, manual page and completion of a command do not name exactly the same flags and words.

Usage: pages.py WISP JAILER
"""
import re
import shutil
import subprocess
import sys

PROBE = r"""
source <("$1" completion bash) || exit 3
shift
COMP_WORDS=("$@" "$LAST") COMP_CWORD=$#
"_${1//-/_}_complete"
printf '%s\n' "${COMPREPLY[@]}"
"""


def output(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True).stdout


def bash_completes(wisp, line, last):
    """What bash offers for `last` behind the words of `line`."""
    done = subprocess.run(["bash", "-c", PROBE, "bash", wisp, *line], capture_output=True, text=True,
                          env={"LAST": last, "PATH": "/usr/bin:/bin"})
    if done.stderr or done.returncode:
        raise AssertionError(f"bash: {done.returncode} {done.stderr}")
    return set(done.stdout.split())


def flags_of_help(text):
    return set(re.findall(r"^  (--[a-z-]+)", text, re.M))


def words_of_help(text):
    part = re.search(r"^Commands:\n(.*?)(\n\n|\Z)", text, re.M | re.S)
    return set(re.findall(r"^  ([a-z-]+)", part.group(1), re.M)) if part else set()


def flags_of_manual(text):
    part = text[text.index(".SH OPTIONS"):].split(".SH EXAMPLES")[0]
    return {name.replace("\\-", "-") for name in re.findall(r"^\.B (\\-\\-[a-z\\-]+)", part, re.M)}


def flags_of_zsh(text, name):
    body = re.search(rf"^_page_{name.replace('-', '_')}\(\) {{\n(.*?)^}}", text, re.M | re.S).group(1)
    return set(re.findall(r"^    '\*?(--[a-z-]+)\[", body, re.M))


def flags_of_fish(text, program, command):
    flags = set()
    for line in text.splitlines():
        mine = f"from {command}'" in line if command else ("_from" not in line or " 'not __fish" in line)
        match = re.match(rf"complete -c {program} .*?-l ([a-z-]+)", line)
        if match and mine:
            flags.add("--" + match.group(1))
    return flags


def check(problems, what, expected, found):
    if expected != found:
        problems.append(f"{what}: missing {sorted(expected - found)}, too many {sorted(found - expected)}")


def check_page(wisp, jailer, name, scripts, problems):
    program, command = (name, "") if name in ("wisp", "wisp-jailer") else ("wisp", name)
    own_help = output(jailer if name == "wisp-jailer" else wisp, *([command] if command else []), "--help")
    text = output(wisp, "help", name)
    if own_help != text:
        problems.append(f"{name}: --help and `wisp help` differ")
    flags, words = flags_of_help(text), words_of_help(text)
    if not flags:
        problems.append(f"{name}: no flags at all")
    full = f"wisp-{command}" if command else program
    check(problems, f"{name}, manual page", flags, flags_of_manual(output(wisp, "help", "--man", name)))
    check(problems, f"{name}, bash flags", flags, bash_completes(wisp, [program, *([command] if command else [])], "--"))
    check(problems, f"{name}, zsh", flags, flags_of_zsh(scripts["zsh"], full))
    check(problems, f"{name}, fish", flags, flags_of_fish(scripts["fish"], program, command))
    if words:
        check(problems, f"{name}, bash words", words, bash_completes(wisp, [program, *([command] if command else [])], ""))


def check_values(wisp, problems):
    check(problems, "bash: choices of a value", {"on", "off"}, bash_completes(wisp, ["wisp", "run", "--entropy"], ""))
    check(problems, "bash: one choice", {"off"}, bash_completes(wisp, ["wisp", "run", "--entropy"], "of"))
    check(problems, "bash: files", {"/etc/os-release"}, bash_completes(wisp, ["wisp", "run", "--kernel"], "/etc/os-rel"))
    check(problems, "bash: nothing for a number", set(), bash_completes(wisp, ["wisp", "run", "--cpus"], ""))
    check(problems, "bash: a command half typed", {"doctor"}, bash_completes(wisp, ["wisp"], "do"))


def check_syntax(scripts, problems):
    for shell, arguments in (("bash", ["-n"]), ("zsh", ["-n"]), ("fish", ["--no-execute"])):
        if not shutil.which(shell):
            print(f"{shell} is not installed: its completion was read, not parsed by it")
            continue
        done = subprocess.run([shell, *arguments], input=scripts[shell], capture_output=True, text=True)
        if done.returncode or done.stderr:
            problems.append(f"{shell} does not accept its completion: {done.stderr}")
    if shutil.which("man"):
        return
    print("man is not installed: the manual pages were read, not formatted")


def check_manuals(wisp, names, problems):
    """groff's complaints are problems."""
    if not shutil.which("groff"):
        return
    for name in names:
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=output(wisp, "help", "--man", name),
                              capture_output=True, text=True)
        if done.stderr:
            problems.append(f"{name}, manual page: {done.stderr}")


def main():
    wisp, jailer = sys.argv[1:3]
    scripts = {shell: output(wisp, "completion", shell) for shell in ("bash", "zsh", "fish")}
    names = sorted(words_of_help(output(wisp, "help", "help")))
    problems = []
    if {"wisp", "wisp-jailer"} | words_of_help(output(wisp, "--help")) != set(names):
        problems.append("`wisp help` does not know every command")
    for name in names:
        check_page(wisp, jailer, name, scripts, problems)
    check_values(wisp, problems)
    check_syntax(scripts, problems)
    check_manuals(wisp, names, problems)
    print("\n".join(problems))
    print(f"{len(names)} pages, {len(problems)} problems")
    return 1 if problems or not names else 0


if __name__ == "__main__":
    sys.exit(main())
