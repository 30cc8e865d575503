"""Chat templates that publishers wrote, out of the source package of llama-cpp-python.

Usage: published_templates.py OUT_DIRECTORY

Downloads the package with pip, compares its SHA-256 and writes models/templates/*.jinja of the
llama.cpp in it. Installs and runs nothing of it. Needs cmake, ninja and scikit-build-core, without
which pip builds them from source before it downloads.
"""

import hashlib
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

PACKAGE = "llama-cpp-python==0.3.36"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"


def main():
    out = pathlib.Path(sys.argv[1])
    tools = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ.get("PATH", "")])
    options = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", folder, PACKAGE]
        subprocess.run(command, check=True, env={**os.environ, "PATH": tools})
        (archive,) = pathlib.Path(folder).glob("*.tar.gz")
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != SHA256:
            sys.exit(f"{archive.name} has SHA-256 {found}, not {SHA256}")
        with tarfile.open(archive) as package:
            for member in package:
                path = pathlib.PurePosixPath(member.name)
                if path.parent.parts[-2:] == ("models", "templates") and path.suffix == ".jinja":
                    (out / path.name).write_bytes(package.extractfile(member).read())


if __name__ == "__main__":
    main()
