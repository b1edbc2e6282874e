"""An OTLP receiver on the official definitions: keeps the latest point of every series.

Usage: receiver.py ADDRESS FILE. The first export is refused as unavailable, which an exporter has to bear.
"""

import json
import math
import os
import sys
from concurrent import futures

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as service
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as service_grpc
from opentelemetry.proto.metrics.v1 import metrics_pb2

CUMULATIVE = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE


def texts(attributes):
    return {one.key: one.value.string_value for one in attributes}


def histogram(point):
    """Counts by bucket, and what the definition says of the bounds: base^i to base^(i + 1)."""
    if point.count != point.zero_count + sum(point.positive.bucket_counts):
        raise ValueError("buckets do not add up to the count")
    base = math.pow(2.0, math.pow(2.0, -point.scale))
    buckets = [
        [math.pow(base, at), math.pow(base, at + 1), count]
        for at, count in enumerate(point.positive.bucket_counts, point.positive.offset)
        if count
    ]
    return {
        "count": point.count,
        "sum": point.sum,
        "zero": point.zero_count,
        "scale": point.scale,
        "buckets": buckets,
    }


class Receiver(service_grpc.MetricsServiceServicer):
    def __init__(self, path):
        self.path = path
        self.series = {}
        self.resource = {}
        self.calls = 0
        self.wrong = []

    def Export(self, request, context):
        self.calls += 1
        if self.calls == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        for resource in request.resource_metrics:
            self.resource = texts(resource.resource.attributes)
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self.take(metric)
        self.write()
        return service.ExportMetricsServiceResponse()

    def take(self, metric):
        kind = metric.WhichOneof("data")
        data = getattr(metric, kind)
        if data.aggregation_temporality != CUMULATIVE:
            self.wrong.append(f"{metric.name} is not cumulative")
        for point in data.data_points:
            attributes = texts(point.attributes)
            key = json.dumps([metric.name, attributes], sort_keys=True)
            value = histogram(point) if kind == "exponential_histogram" else point.as_int
            self.check(key, point, value)
            self.series[key] = {
                "name": metric.name,
                "unit": metric.unit,
                "attributes": attributes,
                "start": point.start_time_unix_nano,
                "time": point.time_unix_nano,
                "value": value,
            }

    def check(self, key, point, value):
        if not 0 < point.start_time_unix_nano <= point.time_unix_nano:
            self.wrong.append(f"{key} has no start before its time")
        before = self.series.get(key)
        if before is None:
            return
        count = lambda one: one["count"] if isinstance(one, dict) else one
        if before["start"] != point.start_time_unix_nano or count(before["value"]) > count(value):
            self.wrong.append(f"{key} began anew or fell")

    def write(self):
        answer = {
            "calls": self.calls,
            "resource": self.resource,
            "wrong": self.wrong,
            "series": list(self.series.values()),
        }
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump(answer, file)
        os.replace(self.path + ".new", self.path)


def main():
    address, path = sys.argv[1:]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    service_grpc.add_MetricsServiceServicer_to_server(Receiver(path), server)
    if server.add_insecure_port(address) == 0:
        sys.exit(f"cannot listen on {address}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
