"""Tests of fetch.py with an index on this machine and a made-up wheel: python3 tools/cuda_headers/fetch_test.py

The index is asked through pip as it is installed here. Without pip nothing can be fetched, and these tests say so."""

import base64
import contextlib
import hashlib
import http.server
import importlib.util
import io
import os
import pathlib
import re
import sys
import tempfile
import threading
import unittest
import unittest.mock
import zipfile

import fetch

NAME = "made_up-1.0-py3-none-manylinux2014_x86_64.whl"
FOLDER = "made_up-1.0.dist-info"
# What is wanted, and much that is not.
MEMBERS = {
    "nvidia/made/include/first.h": b"int first(void);\n" * 500,
    "nvidia/made/include/second.h": b"int second(void);\n" * 500,
    "nvidia/made/lib/libmade.a": bytes(hashlib.sha256(b"noise").digest()) * 3 + os.urandom(1 << 20),
    f"{FOLDER}/License.txt": b"a licence\n",
    f"{FOLDER}/METADATA": b"Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n",
    f"{FOLDER}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-manylinux2014_x86_64\n",
}


def wheel(members):
    """A wheel's bytes, and the SHA-256 of its RECORD."""
    digest = lambda content: base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    lines = [f"{path},sha256={digest(content)},{len(content)}" for path, content in members.items()]
    record = "\n".join([*lines, f"{FOLDER}/RECORD,,", ""]).encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in {**members, f"{FOLDER}/RECORD": record}.items():
            archive.writestr(path, content)
    return file.getvalue(), hashlib.sha256(record).hexdigest()


class Index(http.server.BaseHTTPRequestHandler):
    """A package index with one wheel. `ranges` is what it does with the n-th request of a range, from 0."""

    protocol_version = "HTTP/1.1"
    wheel, ranges, asked = b"", None, None

    def do_GET(self):
        if self.path.startswith("/simple/made-up/"):
            return self.send(200, f'<a href="/files/{NAME}">{NAME}</a>'.encode(), {"Content-Type": "text/html"})
        if self.path != f"/files/{NAME}":
            return self.send(404, b"")
        interval = self.headers.get("Range")
        Index.asked.append(interval)
        if interval is None:
            return self.send(200, self.wheel)
        size = len(self.wheel)
        first, last = re.fullmatch(r"bytes=(\d*)-(\d+)", interval).groups()
        first, last = (int(first), int(last)) if first else (max(0, size - int(last)), size - 1)
        what = Index.ranges(len(Index.asked) - 1)
        if what == "ignored":
            return self.send(200, self.wheel)
        if what == "refused":
            return self.send(416, b"")
        if what == "shifted":
            first, last = first + 1, last + 1
        place = {} if what == "unnamed" else {"Content-Range": f"bytes {first}-{last}/{size}"}
        part = self.wheel[first : last + 1]
        if what == "short":
            return self.send(206, part[:-1], place)
        if what == "broken off":
            self.send(206, part[:-1], place, len(part))
            return self.connection.close()
        self.send(206, part, place)

    def send(self, status, content, headers={}, length=None):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length or len(content))}.items():
            self.send_header(name, value)
        if length:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@unittest.skipIf(importlib.util.find_spec("pip") is None, "no pip")
class Fetch(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        Index.wheel, self.record = wheel(MEMBERS)
        Index.ranges, Index.asked = lambda count: "sent", []
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
        # A client that has seen enough closes the connection.
        server.handle_error = lambda request, address: None
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        index = f"http://127.0.0.1:{server.server_port}/simple"
        # Of the person's own settings nothing counts here, and no wheel of an earlier test.
        settings = {"PIP_INDEX_URL": index, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1", "NO_PROXY": "*"}
        settings |= {"PIP_EXTRA_INDEX_URL": "", "PIP_NO_INDEX": "0", "PIP_FIND_LINKS": "", "PIP_RETRIES": "0"}
        self.enterContext(unittest.mock.patch.dict(os.environ, settings))

    # Python 3.11 has it.
    def enterContext(self, manager):
        value = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return value

    def fetched(self, **wanted):
        """What is said while the wheel's headers are fetched."""
        section = {"set": "newest", "record": self.record, "members": "*/include/*.h */License.txt", **wanted}
        lines = ["[made-up==1.0]", *(f"{key} = {value}" for key, value in section.items()), ""]
        (self.folder / "wheels.ini").write_text("\n".join(lines))
        (self.folder / "files").mkdir(exist_ok=True)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            fetch.main(self.folder / "wheels.ini", self.folder / "files")
        return said.getvalue()

    def files(self):
        into = self.folder / "files/newest"
        return {str(path.relative_to(into)): path.read_bytes() for path in into.rglob("*") if path.is_file()}

    def assert_complete(self):
        files = self.files()
        record = files.pop("records/made-up")
        self.assertEqual(hashlib.sha256(record).hexdigest(), self.record)
        self.assertEqual(files, {
            "include/first.h": MEMBERS["nvidia/made/include/first.h"],
            "include/second.h": MEMBERS["nvidia/made/include/second.h"],
            "licences/made-up.txt": MEMBERS[f"{FOLDER}/License.txt"],
        })
        self.assertEqual(list((self.folder / "files").iterdir()), [self.folder / "files/newest"])

    def test_the_wanted_members_alone_are_fetched(self):
        said = self.fetched()
        self.assert_complete()
        self.assertIn("made-up 1.0: 3 files, 0.1 of 1.1 MB", said)
        self.assertEqual(len(Index.asked), 2, "the list of members, and both headers in one range")
        self.assertNotIn(None, Index.asked)

    def test_an_index_without_ranges_sends_the_whole_wheel(self):
        for what, why in [
            ("ignored", "the index offers no ranges"),
            ("refused", "a range did not come (416"),
            ("unnamed", "the index does not say which range it sends"),
        ]:
            with self.subTest(what):
                Index.ranges, Index.asked = lambda count: what, []
                said = self.fetched()
                self.assertIn(why, said)
                self.assertIn("made-up is fetched whole", said)
                self.assertIn("made-up 1.0: 3 files, 1.1 of 1.1 MB", said)
                self.assert_complete()
                self.assertIsNone(Index.asked[-1])

    def test_ranges_that_stop_half_way(self):
        for what, why in [
            ("ignored", "the index offers no ranges"),
            ("refused", "a range did not come (416"),
            ("short", "bytes came where"),
            # A client may notice it itself.
            ("broken off", "a range did not come (|bytes came where"),
            ("shifted", "another range came than the bytes"),
        ]:
            with self.subTest(what):
                Index.ranges, Index.asked = lambda count: "sent" if count == 0 else what, []
                said = self.fetched()
                self.assertTrue(any(part in said for part in why.split("|")), said)
                self.assertIn("made-up is fetched whole", said)
                self.assert_complete()
                self.assertIsNone(Index.asked[-1])

    def test_another_pip_fetches_the_whole_wheel(self):
        with unittest.mock.patch.dict(sys.modules, {"pip._internal.commands.download": None}):
            said = self.fetched()
        self.assertIn("this version of pip has other internal functions", said)
        self.assert_complete()
        self.assertEqual(set(Index.asked), {None})

    def test_a_member_that_is_too_large_is_not_fetched(self):
        with unittest.mock.patch.object(fetch, "LARGEST", 1 << 20):
            with self.assertRaises(SystemExit) as refused:
                self.fetched(members="*/lib/*")
        size = len(MEMBERS["nvidia/made/lib/libmade.a"])
        expected = f"made-up: nvidia/made/lib/libmade.a has {size} bytes, and at most {1 << 20} are read"
        self.assertEqual(str(refused.exception), expected)
        self.assertEqual(len(Index.asked), 1, "the list of members alone")

    def test_other_contents_are_not_used(self):
        with self.assertRaises(SystemExit) as refused:
            self.fetched(record="0" * 64)
        self.assertIn("its RECORD has the SHA-256", str(refused.exception))
        self.assertEqual(self.files(), {})
        with self.assertRaises(SystemExit) as refused:
            self.fetched(members="*/none.h")
        self.assertEqual(str(refused.exception), "made-up: no member is */none.h")
        # The member is another one than RECORD says.
        first = "nvidia/made/include/first.h"
        record = zipfile.ZipFile(io.BytesIO(Index.wheel)).read(f"{FOLDER}/RECORD")
        with unittest.mock.patch.dict(MEMBERS, {first: b"int other(void);\n"}):
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w") as archive:
                for path, content in {**MEMBERS, f"{FOLDER}/RECORD": record}.items():
                    archive.writestr(path, content)
            Index.wheel = file.getvalue()
            with self.assertRaises(SystemExit) as refused:
                self.fetched()
        self.assertIn(f"{first} has not the SHA-256 of its RECORD", str(refused.exception))

    def test_a_wheel_that_is_not_there(self):
        with self.assertRaises(SystemExit) as refused:
            self.folder.joinpath("wheels.ini").write_text("[made-up==2.0]\nset = a\nrecord = b\nmembers = c\n")
            (self.folder / "files").mkdir()
            fetch.main(self.folder / "wheels.ini", self.folder / "files")
        expected = "the index of pip's configuration has no wheel of made-up 2.0 for Linux on x86-64"
        self.assertEqual(str(refused.exception), expected)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    unittest.main()
