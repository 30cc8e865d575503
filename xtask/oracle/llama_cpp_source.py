"""Files of the llama.cpp that the source package of llama-cpp-python holds: chat templates and
vocabularies that publishers wrote.

Usage: llama_cpp_source.py OUT_DIRECTORY PATTERN

Downloads the package with pip, compares its SHA-256 and writes the files under its models/ that
match PATTERN, such as templates/*.jinja, into the directory. Installs and runs nothing of it. Needs
cmake, ninja and scikit-build-core, without which pip builds them from source before it downloads.
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
    out, pattern = pathlib.Path(sys.argv[1]), sys.argv[2]
    tools = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ.get("PATH", "")])
    options = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", folder, PACKAGE]
        subprocess.run(command, check=True, env={**os.environ, "PATH": tools})
        (archive,) = pathlib.Path(folder).glob("*.tar.gz")
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != SHA256:
            sys.exit(f"{archive.name} has SHA-256 {found}, not {SHA256}")
        written = 0
        with tarfile.open(archive) as package:
            for member in package:
                path = pathlib.PurePosixPath(member.name)
                if member.isfile() and path.match(f"llama.cpp/models/{pattern}"):
                    (out / path.name).write_bytes(package.extractfile(member).read())
                    written += 1
    if not written:
        sys.exit(f"{PACKAGE} has no file models/{pattern}")


if __name__ == "__main__":
    main()
