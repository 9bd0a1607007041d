"""Order of turns and the decision whether all models fit at once."""

from collections import Counter

from lorabench.inference.measurement import fits
from lorabench.inference.turns import turns

ARMS = ["base", "lora", "merged", "base_again"]


def test_every_arm_stands_equally_often_in_every_place() -> None:
    """Rotation and reversal balance places, so that drift hits all arms alike."""
    orders = [turns(ARMS, number) for number in range(2 * len(ARMS))]
    places = Counter((arm, order.index(arm)) for order in orders for arm in ARMS)
    assert all(places[arm, place] == 2 for arm in ARMS for place in range(len(ARMS)))


def test_every_arm_runs_before_and_after_every_other_equally_often() -> None:
    """No arm profits from following another one."""
    orders = [turns(ARMS, number) for number in range(2 * len(ARMS))]
    before = Counter(
        (a, b) for order in orders for a in ARMS for b in ARMS if order.index(a) < order.index(b)
    )
    assert set(before.values()) == {len(ARMS)}


def test_neighbouring_turns_mirror_each_other() -> None:
    """Turns come in pairs A B C D, D C B A."""
    assert turns(ARMS, 5) == turns(ARMS, 4)[::-1]


def test_models_fit_where_memory_holds_them_with_room_to_spare() -> None:
    """On a GPU three more models need 1.2 times what three take."""
    gpu = {"gpu_free_mib": 60_000.0, "memory": {"steady_peak_gpu_reserved_mib": 15_000.0}}
    assert fits(gpu, 3)
    assert not fits(gpu | {"gpu_free_mib": 50_000.0}, 3)
    cpu = {
        "gpu_free_mib": None,
        "parameters_mib": 1.0,
        "memory": {"resident_before_load_mib": 1.0, "load_peak_resident_mib": 1.0},
    }
    assert fits(cpu, 3)
    assert not fits(cpu | {"parameters_mib": 1e9}, 1)
