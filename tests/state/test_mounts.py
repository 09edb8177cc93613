from pathlib import Path

import pytest

from gateway.state.mounts import network_file_system

TABLE = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 27 0:50 / /mnt/files rw,relatime shared:2 master:1 - nfs4 server:/files rw,vers=4.2
41 40 0:51 / /mnt/files/local rw - xfs /dev/vdb rw
42 27 0:52 / /mnt/with\040space\011tab rw - cifs //server/share rw
43 27 0:53 / /mnt/ssh rw - fuse.sshfs user@host:/ rw
44 27 0:54 / /mnt/any rw - fuse /dev/fuse rw
45 27 0:55 / /mnt/layers rw - fuse.fuse-overlayfs fuse-overlayfs rw
46 27 0:56 / /mnt/ntfs rw - fuseblk /dev/sdc1 rw
47 27 0:57 / /mnt/covered rw - nfs server:/x rw
48 27 0:58 / /mnt/covered rw - tmpfs tmpfs rw
49 27 0:59 / /mnt/shared rw - 9p host rw
50 27 0:60 / /mnt/overlay rw - overlay overlay rw
a line of something else
51 27 0:61 / /mnt/short
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/gateway.db", None),
        ("/mnt/files/gateway.db", "nfs4"),
        ("/mnt/files/a/b/gateway.db", "nfs4"),
        ("/mnt/files2/gateway.db", None),
        ("/mnt/files/local/gateway.db", None),
        ("/mnt/with space\ttab/gateway.db", "cifs"),
        ("/mnt/ssh/gateway.db", "fuse.sshfs"),
        ("/mnt/any/gateway.db", "fuse"),
        ("/mnt/layers/gateway.db", None),
        ("/mnt/ntfs/gateway.db", None),
        ("/mnt/covered/gateway.db", None),
        ("/mnt/shared/gateway.db", "9p"),
        ("/mnt/overlay/gateway.db", None),
        ("/mnt/short/gateway.db", None),
    ],
)
def test_the_deepest_mount_says_whether_a_path_is_on_the_network(tmp_path: Path, path: str, kind: str | None) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    assert network_file_system(Path(path), table) == kind


def test_a_link_is_where_it_leads_to(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    (tmp_path / "remote").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "remote")
    table.write_text(f"1 1 0:1 / / rw - ext4 a rw\n2 1 0:2 / {tmp_path}/remote rw - nfs b rw\n")
    assert network_file_system(tmp_path / "link" / "gateway.db", table) == "nfs"


def test_nothing_is_known_where_there_is_no_table(tmp_path: Path) -> None:
    assert network_file_system(tmp_path, tmp_path / "missing") is None


def test_this_machine_can_run_the_other_tests(tmp_path: Path) -> None:
    assert network_file_system(tmp_path) is None
