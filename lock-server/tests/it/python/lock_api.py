"""A client made of what the server says of itself: no .proto file, no stub."""

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status

DEADLINE_SECONDS = 20


class LockApi:
    """`lock.v1.LockService` as the server's reflection describes it."""

    def __init__(self, channel: grpc.Channel):
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)
        self.service = self.pool.FindServiceByName("lock.v1.LockService")

    def services(self, version: str) -> set[str]:
        """The services that one version of reflection lists."""
        path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        call = self.channel.stream_stream(
            path,
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (response,) = call(iter([request]), timeout=DEADLINE_SECONDS)
        return {service.name for service in response.list_services_response.service}

    def message(self, name: str, **fields):
        """A message of the server's own making, by its full name."""
        descriptor = self.pool.FindMessageTypeByName(name)
        return message_factory.GetMessageClass(descriptor)(**fields)

    def call(self, method: str, **fields):
        """Calls a method with one request: its response."""
        described = self.service.methods_by_name[method]
        request = message_factory.GetMessageClass(described.input_type)(**fields)
        return self._callable(method)(request, timeout=DEADLINE_SECONDS)

    def open(self, method: str, requests):
        """Calls a method with a stream of requests: the stream of responses."""
        return self._callable(method)(requests, timeout=DEADLINE_SECONDS)

    def _callable(self, method: str):
        described = self.service.methods_by_name[method]
        streams = self.channel.stream_stream if method == "KeepAlive" else self.channel.unary_unary
        return streams(
            f"/lock.v1.LockService/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(described.output_type).FromString,
        )


def refused(api: LockApi, method: str, **fields) -> tuple[grpc.StatusCode, dict]:
    """The code and the details, by their names, of a call that must fail."""
    try:
        response = api.call(method, **fields)
    except grpc.RpcError as error:
        status = rpc_status.from_call(error)
        assert status is not None, f"{method}: no details in {error}"
        details = {}
        for detail in status.details:
            name = detail.TypeName().removeprefix("google.rpc.")
            details[name] = getattr(error_details_pb2, name)()
            assert detail.Unpack(details[name]), name
        return error.code(), details
    raise AssertionError(f"{method} was carried out: {response}")
