#!/usr/bin/env python3
"""Fails when a TEST_CASE contains no assertion: such a test cannot fail.

A case may assert through a helper of its file: a function whose body contains an assertion counts as one.
Usage: assertion_free.py SOURCE_ROOT
"""
import pathlib
import re
import sys

ASSERTION = re.compile(r"\b(REQUIRE|CHECK|FAIL)(_FALSE|_THAT|_NOTHROW|_THROWS\w*)?\s*\(")

RAW_STRING = re.compile(r'R"(\w*)\(.*?\)\1"', re.DOTALL)  # braces of a document are no blocks


def bodies(text, start_pattern):
    """Yields (name, body) of each brace block that follows a match of the pattern."""
    for match in re.finditer(start_pattern, text):
        depth, position = 0, text.find("{", match.end() - 1)
        if position < 0:
            continue
        for index in range(position, len(text)):
            depth += {"{": 1, "}": -1}.get(text[index], 0)
            if depth == 0:
                yield match.group(1), text[position:index]
                break


def main():
    root = pathlib.Path(sys.argv[1])
    cases, problems = 0, []
    for file in sorted((root / "tests").rglob("*.cpp")):
        text = RAW_STRING.sub('""', file.read_text())
        text = re.sub(r"'.'|\"(?:\\.|[^\"\\\n])*\"", '""', text)
        helpers = {name for name, body in bodies(text, r"\b(\w+)\([^;{}]*\)\s*(?:const\s*)?(?=\{)") if ASSERTION.search(body)}
        for number, (_, body) in enumerate(bodies(text, r"(TEST_CASE|SCENARIO)\s*\("), 1):
            cases += 1
            called = set(re.findall(r"\b(\w+)\s*\(", body))
            if not ASSERTION.search(body) and not called & helpers:
                problems.append(f"{file.relative_to(root)}: test case number {number} asserts nothing")
    print("\n".join(problems))
    print(f"{cases} test cases, {len(problems)} without an assertion")
    return 1 if problems or cases == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
