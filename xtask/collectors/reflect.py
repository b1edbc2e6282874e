"""A collector that knows nothing of xcloud but where it listens: what there is to ask it learns by reflection.

Usage: reflect.py ADDRESS. Prints the services and a split as JSON.
"""

import json
import sys

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

OBSERVER = "xcloud.observer.v1.ObserverService"


def ask(channel, pool, name):
    """Calls a method of the observer with an empty question."""
    method = pool.FindServiceByName(OBSERVER).FindMethodByName(name)
    call = channel.unary_unary(
        f"/{OBSERVER}/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    answer = call(GetMessageClass(method.input_type)(), timeout=10)
    return json_format.MessageToDict(answer, preserving_proto_field_name=True)


def main():
    with grpc.insecure_channel(sys.argv[1]) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)
        answer = {
            "services": sorted(database.get_services()),
            "nodes": ask(channel, pool, "ListNodes"),
            "split": ask(channel, pool, "QuerySplit"),
        }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
