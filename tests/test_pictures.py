"""The program that draws the pictures of the pages: it runs, and what it draws is whole and of this machine alone."""

import importlib.util
from pathlib import Path
from xml.etree import ElementTree

import pytest

PROGRAM = Path(__file__).parent.parent / "docs" / "pictures.py"


@pytest.mark.slow
def test_pictures_are_drawn_of_a_training(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("pictures", PROGRAM)
    pictures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pictures)
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tale.txt").write_text("KING HENRY:\nA cat sat, and it was dawn.\n\n" * 400)
    monkeypatch.chdir(tmp_path)
    pictures.main(["tale.txt", "--minutes", "0.03", "--into", str(tmp_path)])
    for name, words in (("training", "validation"), ("surprisal", "KING")):
        picture = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        shown = "".join(ElementTree.fromstring(picture).itertext()).replace("\N{NO-BREAK SPACE}", " ")
        assert words in shown
        # nothing is fetched by whoever looks at it
        assert "url(http" not in picture
        assert "@import" not in picture
        assert (PROGRAM.parent / f"{name}.svg").is_file()
