"""Takes files out of wheels on a package index, without the rest of the wheels: fetch.py WHEELS FOLDER

A wheel is a zip file: its list of members is at its end, and each member is one range of its bytes. Ranges are read
through pip's own index client, with pip's configuration (index, proxy, certificates). pip's internal functions may
change; the few calls below are the same from pip 20 to 25. With another pip, or where the index offers no ranges,
`pip download` fetches the whole wheel. No code of a wheel is run.

Every file is checked: the wheel's RECORD against the SHA-256 of WHEELS, each member against its SHA-256 in RECORD."""

import base64
import configparser
import csv
import fnmatch
import hashlib
import io
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

PLATFORMS = ["manylinux_2_27_x86_64", "manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux1_x86_64"]
FOR_LINUX = ["--no-input", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
FOR_LINUX += [part for platform in PLATFORMS for part in ("--platform", platform)]
LARGEST = 1 << 30  # bytes of a member
TAIL = 1 << 16  # bytes: the list of members and RECORD, of each of these wheels


class NoRanges(Exception):
    """The wheel cannot be read in ranges."""


class Remote(io.RawIOBase):
    """A file on a server as zipfile reads it: ranges that were fetched before, and others one by one."""

    def __init__(self, session, url):
        self.session, self.url, self.at, self.bytes, self.ranges = session, url, 0, 0, []
        _, self.size = self.request(f"-{TAIL}")

    def request(self, interval):
        """Fetches a range; returns where it begins, and the size of the file."""
        headers = {"Range": f"bytes={interval}", "Accept-Encoding": "identity"}
        try:
            answer = self.session.get(self.url, headers=headers, stream=True)
            answer.raise_for_status()
            if answer.status_code != 206:
                answer.close()
                raise NoRanges("the index offers no ranges")
            part = answer.content
        except OSError as error:  # Those of pip's client are such.
            raise NoRanges(f"a range did not come ({error})") from error
        place = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.headers.get("Content-Range", ""))
        if place is None:
            raise NoRanges("the index does not say which range it sends")
        first, last, size = map(int, place.groups())
        if len(part) != last + 1 - first:
            raise NoRanges(f"{len(part)} bytes came where {last + 1 - first} were announced")
        self.ranges.append((first, part))
        self.bytes += len(part)
        return first, size

    def has(self, first, end):
        return any(begin <= first and end <= begin + len(part) for begin, part in self.ranges)

    def fetch(self, first, end):
        """Fetches the bytes from `first` to before `end`, unless they are here."""
        if not self.has(first, end):
            self.request(f"{first}-{end - 1}")
            if not self.has(first, end):
                raise NoRanges(f"another range came than the bytes {first} to {end - 1}")

    def seekable(self):
        return True

    def tell(self):
        return self.at

    def seek(self, offset, whence=io.SEEK_SET):
        self.at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence]
        return self.at

    def read(self, count=-1):
        end = self.size if count is None or count < 0 else min(self.at + count, self.size)
        if self.at >= end:
            return b""
        self.fetch(self.at, end)
        begin, part = next((b, p) for b, p in self.ranges if b <= self.at and end <= b + len(p))
        first, self.at = self.at, end
        return part[first - begin : end - begin]


def remote(name, version):
    """The wheel of this version on the index, as a file."""
    try:
        from pip._internal.cli.cmdoptions import make_target_python
        from pip._internal.commands.download import DownloadCommand

        command = DownloadCommand("download", "")
        options, _ = command.parse_args([*FOR_LINUX, name])
        with command.main_context():
            session = command.get_default_session(options)
            finder = command._build_package_finder(options, session, target_python=make_target_python(options))
            links = [c.link for c in finder.find_all_candidates(name) if str(c.version) == version and c.link.is_wheel]
    except (ImportError, AttributeError, TypeError) as error:
        raise NoRanges(f"this version of pip has other internal functions ({error})") from error
    if not links:
        sys.exit(f"the index of pip's configuration has no wheel of {name} {version} for Linux on x86-64")
    if links[0].scheme == "file":
        return open(links[0].file_path, "rb")
    return Remote(session, links[0].url_without_fragment)


def download(name, version, folder):
    """The wheel of this version, fetched whole into a folder."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", *FOR_LINUX, "--dest", folder, f"{name}=={version}"]
    if subprocess.run(command).returncode != 0:
        sys.exit(f"pip could not fetch {name} {version}")
    return open(next(pathlib.Path(folder).glob("*.whl")), "rb")


def take(wheel, wanted, name, folder):
    """Writes the wanted members of a wheel into a folder, and returns how many there are."""
    archive = zipfile.ZipFile(wheel)
    record = next(path for path in archive.namelist() if path.endswith(".dist-info/RECORD"))
    lines = archive.read(record)
    found = hashlib.sha256(lines).hexdigest()
    if found != wanted["record"]:
        sys.exit(f"{name}: its RECORD has the SHA-256 {found}, not {wanted['record']}: nothing of it is used")
    hashes = {path: sha256.removeprefix("sha256=") for path, sha256, _ in csv.reader(io.StringIO(lines.decode()))}
    (folder / "records").mkdir(parents=True, exist_ok=True)
    (folder / "records" / name).write_bytes(lines)
    members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    ends = [member.header_offset for member in members[1:]] + [archive.start_dir]
    patterns = wanted["members"].split()
    for pattern in patterns:
        if not fnmatch.filter(archive.namelist(), pattern):
            sys.exit(f"{name}: no member is {pattern}")
    chosen = [(member, end) for member, end in zip(members, ends)
              if any(fnmatch.fnmatchcase(member.filename, pattern) for pattern in patterns)]
    # Before they are fetched.
    for member, _ in chosen:
        if member.file_size > LARGEST:
            sys.exit(f"{name}: {member.filename} has {member.file_size} bytes, and at most {LARGEST} are read")
    # Neighbours in one request.
    if isinstance(wheel, Remote):
        spans = []
        for member, end in chosen:
            if spans and spans[-1][1] == member.header_offset:
                spans[-1][1] = end
            else:
                spans.append([member.header_offset, end])
        for span in spans:
            wheel.fetch(*span)
    for member, _ in chosen:
        path = member.filename
        content = archive.read(path)
        sha256 = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        if sha256 != hashes.get(path):
            sys.exit(f"{name}: {path} has not the SHA-256 of its RECORD: it is not used")
        if path.endswith("License.txt"):
            out = folder / "licences" / f"{name}.txt"
        else:
            # nvidia/cudnn/include/cudnn.h and nvidia/cu13/include/crt/host_defines.h: what follows the package's folder.
            out = folder / path.split("/", 2)[2]
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(content)
    return len(chosen)


def taken(wheel, wanted, name, folder):
    """As take; the number of members, the bytes that were fetched, and those of the wheel."""
    with wheel:
        files = take(wheel, wanted, name, folder)
        size = wheel.seek(0, io.SEEK_END)
        return files, wheel.bytes if isinstance(wheel, Remote) else size, size


def main(wheels, folder):
    config = configparser.ConfigParser(interpolation=None)
    config.read_string(pathlib.Path(wheels).read_text())
    total = 0
    for section in config.sections():
        name, version = section.split("==")
        into = pathlib.Path(folder) / config[section]["set"]
        with tempfile.TemporaryDirectory(dir=folder) as whole:
            try:
                files, read, size = taken(remote(name, version), config[section], name, into)
            except NoRanges as why:
                print(f"{why}: {name} is fetched whole", flush=True)
                files, read, size = taken(download(name, version, whole), config[section], name, into)
        total += read
        print(f"{name} {version}: {files} files, {read / 1e6:.1f} of {size / 1e6:.1f} MB", flush=True)
    print(f"{total / 1e6:.0f} MB fetched")


if __name__ == "__main__":
    main(*sys.argv[1:])
