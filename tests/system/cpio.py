"""A cpio archive, as initial RAM disks are: the "newc" form that Linux's kernel reads."""
import os
import stat


def newc(entries):
    """The archive of {path: contents}. Contents are bytes (a file that may be executed), a str (a
    symbolic link to it) or None (a directory). Directories above a file need not be named."""
    archive, made = [], set()

    def add(path, mode, data):
        name = path.encode() + b"\0"
        fields = (len(made) + 1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
        made.add(path)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
        archive.append(head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4))

    def add_directories(path):
        if path and path not in made:
            add_directories(os.path.dirname(path))
            add(path, stat.S_IFDIR | 0o755, b"")

    for path, contents in entries.items():
        path = path.strip("/")
        add_directories(os.path.dirname(path))
        if contents is None:
            add_directories(path)
        elif isinstance(contents, str):
            add(path, stat.S_IFLNK | 0o777, contents.encode())
        else:
            add(path, stat.S_IFREG | 0o755, contents)
    add("TRAILER!!!", 0, b"")
    return b"".join(archive)
