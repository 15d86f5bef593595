"""What a glob means, which globs are refused, and that matching ends whatever the glob."""

import random
from pathlib import Path

import pytest

from db.globs import KNOWN_EXTENSIONS, MAX_GLOB, GlobError, key_filter

MEANINGS = [
    ("*.jpg", ["a.jpg"], ["x/a.jpg", "a.jpeg"]),
    ("**", ["a", "x/y/z", ".hidden/.DS_Store"], []),
    ("**/*.{jpg,png}", ["a.jpg", "x/b.png"], ["c.gif"]),
    ("a**/b", ["ab", "a1/2/b"], ["a1b"]),
    ("***/b", ["b", "x/y/b"], ["xb"]),
    ("img_?[0-9].jpg", ["img_a1.jpg"], ["img_1.jpg", "img_ab.jpg", "img_/1.jpg"]),
    ("[!a]*", ["b"], ["a", "/"]),
    ("[^a]*", ["b"], ["a"]),
    ("[]a]", ["]", "a"], ["b"]),
    ("[a-]", ["a", "-"], ["b"]),
    ("[+-9]", ["+", ".", "9"], ["/"]),
    (r"[\]\-x]", ["]", "-", "x"], ["\\"]),
    (r"scan \[2026-01-05\].jpg", ["scan [2026-01-05].jpg"], ["scan 2.jpg"]),
    ("scan [[]2026-01-05].jpg", ["scan [2026-01-05].jpg"], []),
    ("a+b(c)$|.^.jpg", ["a+b(c)$|.^.jpg"], ["aab(c)$|.^.jpg"]),
    ("a],}b", ["a],}b"], []),
    ("{a,{b,c}}{,_mask}.png", ["a.png", "c_mask.png"], ["{a.png"]),
    ("über ?é.png", ["über 猫é.png"], ["über é.png"]),
    ("a\nb*", ["a\nb\nc"], []),
]


@pytest.mark.parametrize(("glob", "yes", "no"), MEANINGS)
def test_what_a_glob_matches(glob: str, yes: list[str], no: list[str]) -> None:
    matches = key_filter(glob)
    assert [name for name in yes if not matches(name)] == []
    assert [name for name in no if matches(name)] == []


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("**/*.jpg", ["k/UPPER.JPG", "a.jpg", "a.Jpg"], ["UPPER.JPEG"]),
        ("*.JPG", ["a.jpg"], []),
        ("*.{jpg,TIF}", ["a.JPG", "a.tif"], []),
        ("{*.jpg,*.png}", ["a.JPG", "a.PNG"], []),
        ("A*.jpg", ["Ab.JPG"], ["ab.jpg"]),
        ("*.jpg*", ["a.jpg"], ["a.JPG"]),
        ("*.cr2", ["a.cr2"], ["a.CR2"]),
        ("*.[!j]*", ["a.png"], ["a.jpg"]),
    ],
)
def test_the_extension_of_a_known_format_matches_in_any_case(glob: str, yes: list[str], no: list[str]) -> None:
    test_what_a_glob_matches(glob, yes, no)


@pytest.mark.parametrize(
    ("glob", "why"),
    [
        ("[z-a].jpg", "the range z-a runs backwards"),
        ("**[z-a]", "the range z-a runs backwards"),
        ("scan [2026-01-05].jpg", "the range 6-0 runs backwards"),
        ("[draft-A]*", "the range t-A runs backwards"),
        ("shots [v2-1]/**", "the range 2-1 runs backwards"),
        ("[!]", r"the [ at character 1 is empty or not closed: write \["),
        ("a[]", "the [ at character 2 is empty or not closed"),
        ("[^]", "empty or not closed"),
        ("x[abc", "the [ at character 2 is empty or not closed"),
        (r"x[abc\]", "empty or not closed"),
        ("[/]", "matches nothing"),
        ("[[:alpha:]]", "classes like [:alpha:] are not supported"),
        ("{a,b", r"a { is not closed: write \{"),
        ("{" * 6 + "}" * 6, "nest deeper than 5"),
        ("a\\", "ends in a backslash"),
        ("a" * 5000, "longer than 1024 characters"),
        ("?" * MAX_GLOB, "too complicated"),
        ("**a" + "?" * 1000, "too complicated"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(glob: str, why: str) -> None:
    with pytest.raises(GlobError) as refused:
        key_filter(glob)
    assert why in str(refused.value)


def test_without_a_glob_visible_images_are_taken() -> None:
    matches = key_filter(None)
    taken = [f"a.{extension}" for extension in KNOWN_EXTENSIONS] + ["UPPER.JPG", "x/y z/b.Tiff", "v1.2/a.b.png"]
    left = [".DS_Store", "x/.DS_Store", "Thumbs.db", "notes.txt", "labels.json", "jpg", "a.jpg.txt", "a.", "a"]
    left += [".a.jpg", "x/._a.jpg", ".cache/a.jpg", "x/.git/y/a.jpg", "a.cr2"]
    assert [name for name in taken if not matches(name)] == []
    assert [name for name in left if matches(name)] == []


def hostile_globs() -> list[str]:
    """A hundred: each kind of wildcard nested, repeated, unclosed and mixed; most are no globs at all."""
    pieces = [
        "*",
        "**",
        "**/",
        "?",
        "[a-z]",
        "[!a]",
        "[z-a]",
        "[!]",
        "{a,b}",
        "{",
        "}",
        "[",
        "]",
        "\\",
        ",",
        "é",
        "猫",
        "/",
    ]
    dice = random.Random(11)
    drawn = ["".join(dice.choices(pieces, k=dice.choice((3, 9, 30)))) for _ in range(60)]
    repeated = [
        piece * n + "x" for piece in ("*", "*a", "**/", "*?", "?*", "{a*,*a}", "[ab]*", "**/*") for n in (8, 60)
    ]
    large = ["a" * 5000, "*" * 5000, "[" * 5000, "{" * 5000 + "}" * 5000, "?" * 180, "**a" + "?" * 180, "é*" * 500]
    known = ["[z-a].jpg", "**[z-a]", "scan [2026-01-05].jpg", "[draft-A]*", "shots [v2-1]/**", "[!]", "(a+)+$", ".*.*x"]
    bombs = [
        "{a,b}" * 60,
        "{" + ",".join("a*" for _ in range(300)) + "}",
        "**a**a**a**" * 20,
        "{{{{{a,b},b},b},b},b}*" * 9,
    ]
    other = [
        "[a-\U0010ffff]*" * 20,
        "*" + "[!\u0001]" * 90,
        "**/" * 340,
        "\\*" * 60 + "*",
        "*.{" + "jpg," * 100 + "png}",
    ]
    return drawn + repeated + large + known + bombs + other


def test_a_hundred_hostile_globs_over_ten_thousand_keys_end() -> None:
    """Each is refused, or matched in linear time: the test's own time limit is what a backtracking matcher exceeds."""
    dice = random.Random(7)
    keys = ["/".join("".join(dice.choices("ab", k=12)) for _ in range(5)) + ".jpg" for _ in range(9_000)]
    keys += ["a" * 200 + "é猫/" * 20 + str(i) for i in range(990)] + ["a" * 1024 for _ in range(10)]
    globs, refused, matched = hostile_globs(), 0, 0
    for glob in globs:
        try:
            matches = key_filter(glob)
        except GlobError as error:
            assert str(error)
            refused += 1
        else:
            matched += sum(map(matches, keys)) >= 0
    assert len(globs) == 100 and refused + matched == 100 and refused > 20 and matched > 20


def test_the_documents_list_the_known_extensions() -> None:
    page = (Path(__file__).parents[2] / "docs" / "inputs.md").read_text()
    assert f"`{' '.join(sorted(KNOWN_EXTENSIONS))}`" in page
