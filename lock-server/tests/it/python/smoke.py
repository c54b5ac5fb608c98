"""Drives a running lock-server with a client that was not written here.

usage: smoke.py HOST:PORT

Ends with 0 and the line "all is well" when everything is as promised.
"""

import datetime
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lock_api import LockApi, refused

PLAN = {"type": "plan", "id": "python/🔒/42"}


def lists_what_it_serves(api: LockApi) -> None:
    for version in ("v1", "v1alpha"):
        reflection = f"grpc.reflection.{version}.ServerReflection"
        missing = {"lock.v1.LockService", "grpc.health.v1.Health", reflection}
        missing -= api.services(version)
        assert not missing, f"reflection {version} does not list {missing}"
    missing = {"ForceRelease", "ListEvents"} - set(api.service.methods_by_name)
    assert not missing, f"reflection does not tell of the methods {missing}"
    for detail in ("ErrorInfo", "BadRequest", "RetryInfo", "QuotaFailure", "ResourceInfo"):
        api.pool.FindMessageTypeByName(f"google.rpc.{detail}")


def acquires_twice(api: LockApi):
    granted = api.call("Acquire", resource=PLAN, owner_id="alice", metadata={"host": "a"})
    lock = granted.lock
    assert not granted.reentrant and lock.fencing_token > 0, granted
    assert lock.remaining.ToTimedelta() <= datetime.timedelta(seconds=300), lock
    again = api.call("Acquire", resource=PLAN, owner_id="alice")
    assert again.reentrant and again.lock.fencing_token == lock.fencing_token, again

    code, details = refused(api, "Acquire", resource=PLAN, owner_id="bob")
    assert code == grpc.StatusCode.FAILED_PRECONDITION, code
    info = details["ErrorInfo"]
    assert (info.reason, info.domain) == ("LOCK_CONFLICT", "lock.v1"), info
    assert info.metadata["holder"] == "alice", info
    assert info.metadata["holder.host"] == "a", info
    assert info.metadata["resource"] == "plan/python/🔒/42", info
    expiry = datetime.datetime.fromisoformat(info.metadata["expire_time"])
    assert expiry.tzinfo is not None and expiry == exact(again.lock.expire_time), info
    assert details["ResourceInfo"].owner == "alice", details
    assert details["RetryInfo"].retry_delay.ToNanoseconds() > 0, details
    return lock


def exact(timestamp) -> datetime.datetime:
    return timestamp.ToDatetime(tzinfo=datetime.timezone.utc)


def renews_and_keeps_alive(api: LockApi, lock) -> None:
    held = {"resource": PLAN, "owner_id": "alice", "fencing_token": lock.fencing_token}
    renewed = api.call("Renew", ttl={"seconds": 60}, **held).lock
    assert renewed.ttl.seconds == 60 and renewed.fencing_token == lock.fencing_token, renewed

    foreign = held | {"fencing_token": lock.fencing_token + 1}
    requests = [
        api.message("lock.v1.KeepAliveRequest", leases=[held, foreign]),
        api.message("lock.v1.KeepAliveRequest", leases=[]),
    ]
    first, second = api.open("KeepAlive", iter(requests))
    kept, lost = first.results
    assert kept.WhichOneof("outcome") == "lock", kept
    assert lost.lost.reason == "LOCK_NOT_HELD" and lost.lost.message, lost
    assert len(second.results) == 0, second


def lists_and_releases(api: LockApi, lock) -> None:
    listed = api.call("ListLocks", resource_type="plan", owner_id="alice").locks
    assert [each.resource.id for each in listed] == [PLAN["id"]], listed
    release = {"resource": PLAN, "owner_id": "alice", "fencing_token": lock.fencing_token}
    assert api.call("Release", **release).released
    assert not api.call("Release", **release).released
    code, details = refused(api, "GetLock", resource=PLAN)
    assert code == grpc.StatusCode.NOT_FOUND, code
    assert details["ErrorInfo"].reason == "LOCK_NOT_FOUND", details
    after = api.call("Acquire", resource=PLAN, owner_id="bob").lock
    assert after.fencing_token > lock.fencing_token, (after, lock)
    assert api.call("ReleaseAll", owner_id="bob").released_count == 1
    assert api.call("ListStale").total_count == 0


def breaks_a_hold(api: LockApi) -> None:
    lock = api.call("Acquire", resource=PLAN, owner_id="carol").lock
    seen = {"resource": PLAN, "fencing_token": lock.fencing_token}
    broken = api.call("ForceRelease", reason="stuck 🔒", **seen).lock
    assert (broken.owner_id, broken.fencing_token) == ("carol", lock.fencing_token), broken

    code, details = refused(api, "Renew", owner_id="carol", **seen)
    assert code == grpc.StatusCode.ABORTED, code
    told = details["ErrorInfo"].metadata
    assert details["ErrorInfo"].reason == "LOCK_NOT_HELD", details
    assert (told["released_by"], told["release_reason"]) == ("127.0.0.1", "stuck 🔒"), told

    code, details = refused(api, "ForceRelease", reason="once more", **seen)
    assert code == grpc.StatusCode.NOT_FOUND, code
    kinds = api.pool.FindEnumTypeByName("lock.v1.AuditEventKind").values_by_number
    events = api.call("ListEvents", resource=PLAN).events
    found = [(kinds[event.kind].name, event.owner_id, event.reason) for event in events]
    assert found == [
        ("AUDIT_EVENT_KIND_FORCE_RELEASE_REFUSED", "", "once more"),
        ("AUDIT_EVENT_KIND_FORCE_RELEASED", "carol", "stuck 🔒"),
    ], found


def reads_the_largest_errors(api: LockApi) -> None:
    resource = {"type": "t" * 63, "id": "🔒" * 128}
    owner, metadata = "🔑" * 64, {f"k{number:03}": "🔒" * 15 for number in range(16)}
    api.call("Acquire", resource=resource, owner_id=owner, metadata=metadata)
    code, details = refused(api, "Acquire", resource=resource, owner_id="bob")
    assert code == grpc.StatusCode.FAILED_PRECONDITION, code
    told = details["ErrorInfo"].metadata
    assert told["holder"] == owner, told
    assert all(told[f"holder.{key}"] == value for key, value in metadata.items()), told

    wrong = {"resource": {"type": "🔒" * 99, "id": ""}, "owner_id": "", "fencing_token": 0}
    wrong_leases = api.message("lock.v1.KeepAliveRequest", leases=[wrong] * 100)
    try:
        answers = list(api.open("KeepAlive", iter([wrong_leases])))
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
    else:
        raise AssertionError(f"wrong leases were answered: {answers}")

    code, details = refused(
        api, "Acquire", resource={"type": "Plan", "id": ""}, owner_id="", ttl={"seconds": -1}
    )
    assert code == grpc.StatusCode.INVALID_ARGUMENT, code
    fields = {wrong.field for wrong in details["BadRequest"].field_violations}
    assert fields == {"resource.type", "resource.id", "owner_id", "ttl"}, fields


def is_healthy(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "lock.v1.LockService"):
        response = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
        assert response.status == health_pb2.HealthCheckResponse.SERVING, (service, response)


def main() -> None:
    with grpc.insecure_channel(sys.argv[1]) as channel:
        api = LockApi(channel)
        lists_what_it_serves(api)
        lock = acquires_twice(api)
        renews_and_keeps_alive(api, lock)
        lists_and_releases(api, lock)
        breaks_a_hold(api)
        reads_the_largest_errors(api)
        is_healthy(channel)
    print("all is well")


if __name__ == "__main__":
    main()
