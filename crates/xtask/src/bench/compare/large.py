"""Makes large inputs of real releases: two trees as of a desktop application, archives with one large member, an image, an
installer. Arguments: a folder, then wheels of the older release, `--`, and those of the newer one."""
import glob
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pip

MEMBER_BYTES = 500 << 20
INSTALLER_BYTES = 100 << 20


def unpack(wheels, into):
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(into)


def files(folder):
    found = [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names]
    return sorted(found)


def member(folder, path):
    """One file of 500 MB: the tree's files, each time moved by one byte."""
    with open(path, "wb") as out:
        turn = 0
        while out.tell() < MEMBER_BYTES:
            out.write(b"\0" * turn)
            for name in files(folder):
                with open(name, "rb") as source:
                    out.write(source.read()[: MEMBER_BYTES - out.tell()])
            turn += 1


def installer(wheels, path):
    """A program of pip's for Windows with an archive behind it."""
    stub = glob.glob(os.path.join(os.path.dirname(pip.__file__), "_vendor/distlib/w64.exe"))[0]
    with open(path, "wb") as out:
        with open(stub, "rb") as source:
            out.write(source.read())
        with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
            for number in range(9):
                for wheel in wheels:
                    with zipfile.ZipFile(wheel) as source:
                        for name in source.namelist():
                            if out.tell() < INSTALLER_BYTES:
                                archive.writestr(f"{number}/{name}", source.read(name))


def main():
    folder, rest = sys.argv[1], sys.argv[2:]
    split = rest.index("--")
    old, new = rest[:split], rest[split + 1 :]
    os.makedirs(folder)
    os.chdir(folder)
    unpack(old, "application-1.0")
    unpack(new, "application-1.1")
    os.makedirs("content")
    member("application-1.0", "content/member")
    shutil.copytree("application-1.0", "content/rest")
    with tarfile.open("large.tar", "w") as archive:
        archive.add("content")
    with zipfile.ZipFile("large.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in files("content"):
            archive.write(name)

    def run(*words):
        """Makes one of the files, where its program is there."""
        if shutil.which(words[0]):
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    run("xz", "-0", "-T0", "-k", "large.tar")
    run("zstd", "-q", "-3", "large.tar")
    run("xorriso", "-as", "mkisofs", "-quiet", "-R", "-J", "-o", "large.iso", "content/rest", "application-1.1")
    run("mksquashfs", "content", "large.squashfs", "-quiet", "-comp", "zstd", "-Xcompression-level", "1")
    run("7z", "a", "-mx=1", "large.7z", "content")
    installer(old + new, "installer.exe")
    os.remove("content/member")


main()
