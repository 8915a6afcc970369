"""What objects cost is read from manifests, and what a plan needs from the objects that are like it."""

import pytest
from stored_plan import HAXBY, haxby_plan, put

from mindeye2.config import parse_config
from mindeye2.errors import UserError
from mindeye2.store import Store
from mindeye2.usage import EXPECTED_BYTES, check_quota, expected_bytes, kind, records, used_bytes


@pytest.fixture(autouse=True)
def repository(monkeypatch):
    monkeypatch.chdir(HAXBY.parents[1])


def test_records_say_what_manifests_say_and_pass_over_damage(tmp_path):
    plan, store = haxby_plan(tmp_path), Store(tmp_path / "store")
    first, second = plan.ordered()[:2]
    put(store, first, seconds=7.0, gpus=2, run="other", size=11)
    put(store, second)
    (store.object(second.stage, second.key) / "manifest.json").chmod(0o600)
    (store.object(second.stage, second.key) / "manifest.json").write_text("{")
    (record,) = records(store)
    assert (record.id, record.seconds, record.gpus, record.run, record.bytes) == (first.id, 7.0, 2, "other", 11)


def test_objects_to_be_are_as_large_as_stored_ones_of_their_kind(tmp_path):
    plan, store = haxby_plan(tmp_path), Store(tmp_path / "store")
    finetunes = [node for node in plan.ordered() if node.stage == "finetune"]
    put(store, finetunes[0], size=100)
    put(store, finetunes[1], size=300)
    assert expected_bytes(finetunes[2:4], records(store)) == 400
    clip, vae = (
        next(node for node in plan.ordered() if kind(node.spec) == f"targets/{name}") for name in ("clip", "convnext")
    )
    put(store, vae, size=5)
    assert expected_bytes([clip], records(store)) == EXPECTED_BYTES["targets/clip"]


def test_quota_names_the_numbers_and_what_to_do(tmp_path):
    plan, store = haxby_plan(tmp_path, "store.quota=10 GB"), Store(tmp_path / "store")
    with pytest.raises(UserError, match=r"^store\.quota: 10 GB is 9\.3 GiB, of which .* takes 0 B, .* GiB; plan"):
        check_quota(plan, store)
    for node in plan.ordered()[:-1]:
        put(store, node)
    check_quota(plan, store)
    tight = haxby_plan(tmp_path, "store.quota=1 kB")
    with pytest.raises(UserError, match="and building 1 object needs"):
        check_quota(tight, store)
    put(store, plan.ordered()[-1])
    check_quota(tight, store)


def test_unfinished_and_set_aside_count_as_used(tmp_path):
    plan, store = haxby_plan(tmp_path), Store(tmp_path / "store")
    node = plan.ordered()[0]
    put(store, node, size=100)
    before = used_bytes(store, records(store))
    (store.work("betas", "0" * 20) / "checkpoint").mkdir(parents=True)
    (store.work("betas", "0" * 20) / "checkpoint" / "x").write_bytes(bytes(7))
    assert used_bytes(store, records(store)) == before + 7 == 107
    store.set_aside(node.stage, node.key)
    assert used_bytes(store, records(store)) > 107


@pytest.mark.parametrize("store", [{"group": "users"}, {"quota": "2 TB"}])
def test_settings_of_the_store_are_in_no_key(tmp_path, store):
    assignments = [f"store.{name}={value}" for name, value in store.items()]
    assert haxby_plan(tmp_path, *assignments).nodes.keys() == haxby_plan(tmp_path).nodes.keys()


def test_quota_that_is_no_amount_is_one_line():
    with pytest.raises(UserError, match=r"^store\.quota: 'much' is no amount of storage; write for example 500 GB"):
        parse_config({"store": {"quota": "much"}})
