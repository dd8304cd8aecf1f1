"""The ceiling: the server's own HTTP, which reads the body and answers a constant. Prints its url."""

from __future__ import annotations

import asyncio
import sys
import time

import uvloop

from trimtab.serving.net.http import Answer, Request
from trimtab.serving.net.transport import HttpServer
from trimtab.serving.settings import Limits

ANSWER = (
    b'{"model_name":"bench","model_version":"1","parameters":{"prediction_ids":["01a206150fb3000001-c4e84c93b6"]},'
    b'"outputs":[{"name":"predict","shape":[1],"datatype":"BOOL","data":[false]},{"name":"scores","shape":[1,2],'
    b'"datatype":"FP64","data":[0.976623061399402,0.02337693860059797]}]}'
)


def answer(_request: Request) -> Answer:
    return ANSWER


async def main(port: int) -> None:
    server = HttpServer(answer, Limits(), time.time)
    host, found = await server.listen(host="127.0.0.1", port=port)
    print(f"ready on http://{host}:{found}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
