"""The check of the walls is seen to fail where one is crossed."""

import pathlib
import subprocess
import tempfile
import unittest

WALLS = pathlib.Path(__file__).parent / "walls"


def crossed(files):
    """What the check says of a source tree of these files."""
    with tempfile.TemporaryDirectory() as directory:
        source = pathlib.Path(directory) / "src"
        for name, text in files.items():
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        ran = subprocess.run([WALLS, source], capture_output=True, text=True)
        entries = ran.stdout.splitlines()[:-1]
        assert ran.returncode == (1 if entries else 0), ran
        return entries


GOOD = {
    "lib.rs": "mod domain;\nmod store;\nmod api;\n",
    "domain.rs": "pub mod site;\npub use self::site::Site;\n",
    "domain/site.rs": "pub struct Site;\n",
    "store.rs": "mod sites;\nmod error;\npub use self::error::Gone;\n",
    "store/sites.rs": "use redb::Table;\nuse super::error::Gone;\nuse crate::domain::Site;\n",
    "store/error.rs": "pub struct Gone;\n",
    "api.rs": "mod sites;\nfn all() { sites::list() }\n",
    "api/sites.rs": "use crate::store::Gone;\n",
}


class Walls(unittest.TestCase):
    def told(self, wall, files):
        """The one entry on `wall`; what is crossed upward may also go round."""
        entries = crossed({**GOOD, **files})
        on_wall = [entry for entry in entries if entry.startswith(wall + ":")]
        rest = [entry for entry in entries if entry not in on_wall and not entry.startswith("circle:")]
        self.assertEqual((len(on_wall), rest), (1, []), entries)
        return on_wall[0]

    def test_a_house_in_order_passes(self):
        self.assertEqual(crossed(GOOD), [])

    def test_an_import_from_above(self):
        entry = self.told("up", {"store/error.rs": "\nuse crate::api::Api;\n"})
        self.assertIn("src/store/error.rs:2", entry)

    def test_a_path_from_above_in_the_code(self):
        self.told("up", {"store/error.rs": "fn f() { crate::server::run() }\n", "server.rs": ""})

    def test_a_room_that_imports_its_face(self):
        self.told("face", {"store/error.rs": "use super::{sites::Row, Store};\n", "store/sites.rs": ""})

    def test_files_in_a_circle(self):
        entry = self.told("circle", {"store/error.rs": "use super::sites::Row;\n"})
        self.assertIn("store/error.rs, store/sites.rs", entry)

    def test_a_library_out_of_its_place(self):
        self.told("crate", {"api/sites.rs": "use redb::Table;\n"})
        self.told("crate", {"domain/site.rs": "fn f() { poem::get() }\n"})

    def test_a_long_file(self):
        self.told("long", {"store/error.rs": "fn f() {}\n" * 451})
        self.assertEqual(crossed({**GOOD, "store/error.rs": "fn f() {}\n" * 450 + "// more\n\n" * 99}), [])

    def test_a_folder_without_a_floor(self):
        self.told("up", {"attic/box.rs": "use crate::domain::Site;\n"})

    def test_unit_tests_may_cross(self):
        test = "#[cfg(test)]\nmod tests {\n    use super::super::Store;\n    fn f() { redb::x() }\n}\n"
        self.assertEqual(crossed({**GOOD, "api/sites.rs": test}), [])


if __name__ == "__main__":
    unittest.main()
