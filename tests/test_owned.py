"""What the master gives away on the word of a configuration that somebody else wrote."""

import os
import shutil

import pytest

from harness import row


@pytest.mark.root
def test_a_spool_that_is_not_ours_is_not_taken(suite):
    """`spool /etc` changes the owner of nothing; an empty folder of root's becomes the queue's."""
    spool = suite.folder / "spool"
    shutil.chown(spool, "root", "root")
    (spool / "passwd").write_text("root:x:0:0::/:/bin/sh\n")
    with pytest.raises(AssertionError, match="the spool .* belongs to uid 0"):
        suite.start()
    row("I01", "spool-of-others", spool.stat().st_uid == 0)
    os.unlink(spool / "passwd")
    suite.start()
    assert spool.stat().st_uid != 0
