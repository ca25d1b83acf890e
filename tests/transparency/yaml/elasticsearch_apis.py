"""Prints elasticsearch-apis.txt from the sources of elasticsearch-py (Apache-2.0): python3 elasticsearch_apis.py FOLDER/elasticsearch/_sync/client

Each line: API, method, path. The client picks a path by the parts that are given, so every path of an API stands on a line.
"""
import pathlib
import re
import sys

METHOD = re.compile(r"__method = \"(\w+)\"")
PATH = re.compile(r"__path = \(?\s*f?(['\"])(/.*?)\1\n")
PART = re.compile(r"\{__path_parts\[\"(\w+)\"\]\}")
CALL = re.compile(r"perform_request\(.*?\n\s+(?:\"(\w+)\"|(__method)),\s.*?endpoint_id=\"([\w.]+)\"", re.S)


def lines(source):
    for body in re.split(r"\n    def ", source)[1:]:
        call = CALL.search(body)
        if call is None:
            continue
        method, _, api = call.groups()
        methods = METHOD.findall(body) or [method]
        paths = [PART.sub(r"{\1}", path) for _, path in PATH.findall(body)]
        assert paths and (len(methods) == 1 or len(methods) == len(paths)), (api, methods, paths)
        methods = methods if len(methods) == len(paths) else methods * len(paths)
        yield from (f"{api} {method} {path}" for method, path in zip(methods, paths))


folder = pathlib.Path(sys.argv[1])
found = sorted({line for file in folder.glob("*.py") for line in lines(file.read_text())})
print("# API, method, path: from elasticsearch-py 9.5.1 (Apache-2.0) by elasticsearch_apis.py")
print("\n".join(found))
