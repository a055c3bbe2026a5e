"""Reads an exposition from standard input by Prometheus' own client library, as `text` or
`openmetrics` (the first argument), and writes what it understood as JSON: a list of families
[name, type, help, unit, [[sample, labels, value], ...]].

Exits with 77 where the library is not installed (Debian: python3-prometheus-client).
"""

import json
import sys

try:
    from prometheus_client import parser
    from prometheus_client.openmetrics import parser as openmetrics_parser
except ImportError:
    sys.exit(77)

parse = {
    "text": parser.text_string_to_metric_families,
    "openmetrics": openmetrics_parser.text_string_to_metric_families,
}[sys.argv[1]]
exposition = sys.stdin.buffer.read().decode("utf-8")
families = [
    [
        family.name,
        family.type,
        family.documentation,
        family.unit,
        [[sample.name, sample.labels, repr(sample.value)] for sample in family.samples],
    ]
    for family in parse(exposition)
]
json.dump(families, sys.stdout)
