import gc

from gateway.workers.garbage import put_off, started


def test_garbage_is_collected_again_once_the_start_is_over() -> None:
    before = gc.get_freeze_count()
    try:
        with put_off():
            assert not gc.isenabled()
            started()
            assert gc.isenabled()
            assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


def test_garbage_is_collected_again_when_a_start_fails() -> None:
    with put_off():
        assert not gc.isenabled()
    assert gc.isenabled()
