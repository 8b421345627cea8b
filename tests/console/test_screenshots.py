"""The pictures of docs/screenshots are those that are taken, each on every screen."""

from tests.console.screenshots import DIRECTORY, PICTURES, SCREENS


def test_every_picture_has_its_files_and_no_other_file_is_there() -> None:
    taken = {f"{name}-{screen}.png" for name in ("sign-in", *PICTURES) for screen in SCREENS}
    assert {file.name for file in DIRECTORY.iterdir()} == taken
